// Records: a dialog for each, at an address of its own.

const dialog = document.querySelector("dialog");
const recordAt = new Map(records.map((record) => [fragmentOf(record), record]));
let opener = null;
let compared = "";

addEventListener("hashchange", follow);
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  if (recordAt.has(location.hash)) history.replaceState(null, "", location.href.split("#")[0]);
  opener?.focus();
});
follow();

/** Shows the record that the address names; closes the dialog when it names none. */
function follow() {
  const record = recordAt.get(location.hash);
  if (!record) return dialog.close();
  const near = [document.activeElement, opener].map((link) => link?.closest("td[data-records]"));
  const entry = near.find((entry) => entry && recordsIn(entry).includes(record)) ?? entryOf.get(record);
  opener = linkIn(entry);
  show(record, entry);
  if (!dialog.open) dialog.showModal();
}

function show(record, entry) {
  const setting = data.settings[record.setting];
  const column = entry.closest("table").tHead.rows[1].cells[entry.cellIndex].dataset.name;
  dialog.querySelector("h2").textContent = nameOf(entry.parentElement);
  dialog.querySelector(".subtitle").textContent =
    `${data.cells[record.cell].size}, ${column} · ${entry.closest("section").querySelector(".subtitle").textContent}`;
  document.getElementById("record").replaceChildren(
    accuracies(record, entry),
    ...learningCurves(record, entry),
    element("h3", {}, `Record ${record.address}, seed ${record.seed}`),
    ...outcome(record),
    ...titledFacts("Configuration", data.cells[record.cell]),
    ...titledFacts("Setting", setting),
  );
  dialog.scrollTop = 0;
}

/** Of all seeds, each a link to its own record. */
function accuracies(record, entry) {
  const percent = (text) => (Number.isFinite(Number(text)) ? Number(text).toFixed(2) : text);
  const rows = recordsIn(entry).map((other) => {
    const link = element("a", { href: fragmentOf(other) }, `seed ${other.seed}`);
    if (other === record) link.setAttribute("aria-current", "true");
    const missing = other.error ? "failed" : "no result yet";
    return [link, ...data.metrics.map((metric) => ("run" in other ? percent(other.field(metric)) : missing))];
  });
  return table("Accuracy (%)", ["Seed", "after tuning", "as initialized"], rows);
}

/** Cost and provenance, or why there are none. */
function outcome(record) {
  if (!("run" in record)) return [element("p", {}, record.error ?? "It has no result yet.")];
  const { command, suite, hardware, versions, data: source } = data.runs[record.run];
  const kinds = ["epochs", "iterations", "images", "flops", "seconds"];
  const amounts = (phase) => kinds.map((kind) => amount(record.field(`cost_${phase}_${kind}`)));
  const costs = data.phases.map((phase) => [phase, ...amounts(phase)]);
  return [
    table("Cost", ["Phase", "epochs", "iterations", "images", "FLOPs", "seconds"], costs),
    element("h4", {}, "Command"),
    element("pre", { tabindex: 0 }, command),
    ...titledFacts("Run", { started: record.started, finished: record.finished, ...suite }),
    ...titledFacts("Hardware", hardware),
    ...titledFacts("Versions", versions),
    ...titledFacts("Data", source),
  ];
}

/** The learning curves of the seeds before those of the column's other methods, one of which can be picked out. */
function learningCurves(record, entry) {
  const measured = (cell) => recordsIn(cell).filter((other) => other.curve.length > 0);
  const own = measured(entry);
  if (own.length === 0) return [];
  const others = new Map();
  for (const row of entry.closest("table").querySelectorAll("tbody tr:not(.family)")) {
    const curves = measured(row.cells[entry.cellIndex]).map((other) => other.curve);
    if (row !== entry.parentElement && curves.length) others.set(nameOf(row), meanCurve(curves));
  }

  const figure = element("figure");
  const legend = element("p", { class: "legend" });
  legend.append(element("span", { class: "own" }, `its seeds, thick: seed ${record.seed}`));
  if (others.size) {
    const options = ["", ...others.keys()].map((name) => element("option", { value: name }, name || "none"));
    const select = element("select", {}, ...options);
    select.value = others.has(compared) ? compared : "";
    select.addEventListener("change", () => draw((compared = select.value)));
    legend.append(element("span", { class: "others" }, "means of the other methods"));
    legend.append(element("label", { class: "picked" }, "beside ", select));
  }
  draw(compared);
  return [element("h3", {}, "Learning curves"), figure, legend, inNumbers(own)];

  function draw(picked) {
    const behind = [...others].filter(([name]) => name !== picked).map(([, points]) => ({ points, look: "others" }));
    const beside = others.has(picked) ? [{ points: others.get(picked), look: "picked" }] : [];
    const seeds = own.filter((other) => other !== record).map(({ curve }) => ({ points: curve, look: "own" }));
    const front = own.includes(record) ? [{ points: record.curve, look: "own chosen" }] : [];
    const [[, start], [epochs, end]] = [own[0].curve[0], own[0].curve.at(-1)];
    const words = `Learning curves; seed ${own[0].seed} goes from ${start} to ${end} % in ${epochs} epochs`;
    figure.replaceChildren(drawing([...behind, ...beside, ...seeds, ...front], words));
  }
}

/** What is drawn, for who cannot see it. */
function inNumbers(own) {
  const curves = own.map((record) => new Map(record.curve));
  const epochs = [...new Set(curves.flatMap((curve) => [...curve.keys()]))].sort((one, other) => one - other);
  const rows = epochs.map((epoch) => [String(epoch), ...curves.map((curve) => curve.get(epoch)?.toFixed(1) ?? "")]);
  const titles = ["Epoch", ...own.map((record) => `seed ${record.seed}`)];
  return element("details", {}, element("summary", {}, "In numbers"), table("Top-1 accuracy (%)", titles, rows));
}

/** A table with a caption; the first cell of a row is its title. */
function table(caption, titles, rows) {
  return element(
    "div",
    { class: "scroller" },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)))),
      element(
        "tbody",
        {},
        ...rows.map(([title, ...cells]) =>
          element("tr", {}, element("th", { scope: "row" }, title), ...cells.map((cell) => element("td", {}, cell))),
        ),
      ),
    ),
  );
}

/** Names and values below a title. */
function titledFacts(title, values) {
  const pairs = Object.entries(values).map(([name, value]) =>
    element("div", {}, element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, inWords(value))),
  );
  return [element("h4", {}, title), element("dl", {}, ...pairs)];
}

function inWords(value) {
  if (value === null) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 20 }) : value;
}

/** A number of the CSV as people write it: 15,680 or 3.81 or 1.46 × 10¹¹. */
function amount(text) {
  const value = Number(text);
  if (value < 1e7) return value.toLocaleString("en", { maximumFractionDigits: 2 });
  const [mantissa, exponent] = value.toExponential(2).split("e+");
  return `${mantissa} × 10${[...exponent].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
}
