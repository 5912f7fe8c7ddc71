// Opens the records behind a number: each number links to its first record, and the address of the page names the
// record that is open.

const dialog = document.querySelector("dialog");
const moments = ["as initialized", "after fine-tuning"];
const amounts = ["epochs", "iterations", "images", "FLOPs", "seconds", "numbers trained"];

const factsOf = (record) => record.facts.map((at) => data.facts[at]);
const hashOf = (record) => `#${encodeURIComponent(record.address)}`;
const recordOf = (hash) => records.find((record) => hashOf(record) === hash);

for (const entry of entries) {
  entry.firstChild.replaceWith(element("a", { href: hashOf(recordsOf(entry)[0]) }, entry.firstChild.cloneNode(true)));
}
for (const button of document.querySelectorAll("[data-file]")) {
  button.addEventListener("click", () => download(button.dataset.file));
}

let opener = null;
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  if (recordOf(location.hash)) write(view());
  opener?.querySelector("a").focus();
});

function openRecord(record) {
  const holds = (entry) => recordsOf(entry).includes(record);
  opener = [document.activeElement.closest("td"), opener].find(holds) ?? entries.find(holds) ?? null;
  show(record, opener);
  if (!dialog.open) dialog.showModal();
}

function show(record, entry) {
  const title = entry?.closest("table").tHead.rows[0].cells[entry.cellIndex].textContent ?? "";
  const size = entry?.closest(".scroller").dataset.size ?? "";
  dialog.querySelector("h2").textContent = entry ? labelOf(entry.parentElement) : record.address;
  dialog.querySelector(".subtitle").textContent = [size, title].filter(Boolean).join(", ");
  document.getElementById("record").replaceChildren(
    ...seedsTable(record, entry),
    ...learningCurves(record, entry),
    element("h3", {}, `Record ${record.address}, seed ${record.seed}`),
    ...(record.error ? [element("p", {}, record.error)] : []),
    ...(record.metrics?.length > 1 ? [table("Metrics", ["Metric", ...moments], record.metrics)] : []),
    ...(record.cost ? [table("Cost", ["Phase", ...amounts], record.cost)] : []),
    ...(record.time ? [element("p", {}, `Computed ${record.time}`)] : []),
    ...factsOf(record).flatMap(([title, values]) => describe(title, values)),
  );
  dialog.scrollTop = 0;
}

function seedsTable(record, entry) {
  const rows = recordsOf(entry).map((other) => {
    const link = element("a", { href: hashOf(other) }, `seed ${other.seed}`);
    if (other === record) link.setAttribute("aria-current", "true");
    return [link, ...(other.metrics?.[0].slice(1) ?? [other.error ? "failed" : "no result yet"])];
  });
  const name = recordsOf(entry).find((other) => other.metrics)?.metrics[0][0] ?? "Seeds";
  return rows.length ? [table(name, ["Seed", ...moments], rows)] : [];
}

function describe(title, values) {
  const pairs = Object.entries(values).map(([name, value]) =>
    element("div", {}, element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, words(value, 20))),
  );
  return [element("h4", {}, title), element("dl", {}, ...pairs)];
}

/* Learning curves: the seeds of the entry before the means of the column's other methods */

function learningCurves(record, entry) {
  const measured = (other) => recordsOf(other).filter((one) => one.curve?.length);
  const own = measured(entry);
  if (!own.length) return [];
  const others = rowsOf(entry.closest("table")).filter((row) => row !== entry.parentElement);
  const lines = [
    ...others.map((row) => [labelOf(row), mean(measured(row.cells[entry.cellIndex])), "other"]),
    ...own.map((one) => [`seed ${one.seed}`, one.curve, one === record ? "own chosen" : "own"]),
  ].filter(([, points]) => points.length);
  const [x, xTicks] = axis(lines.flatMap(([, points]) => points.map(([epoch]) => epoch)), 44, 616);
  const [y, yTicks] = axis(lines.flatMap(([, points]) => points.map(([, value]) => value)), 256, 24);
  const text = (left, top, anchor, content) => svg("text", { x: left, y: top, "text-anchor": anchor }, content);
  const words = `Learning curves of ${own.length} seeds, and means of the other methods`;
  const drawing = svg(
    "svg",
    { viewBox: "0 0 640 300", role: "img", "aria-label": words },
    ...yTicks.map((tick) => svg("line", { x1: 44, x2: 616, y1: y(tick), y2: y(tick) })),
    ...yTicks.map((tick) => text(36, y(tick) + 4, "end", String(tick))),
    ...xTicks.map((tick) => text(x(tick), 276, "middle", String(tick))),
    text(616, 296, "end", "epochs of fine-tuning"),
    text(0, 12, "start", own[0].metrics[0][0]),
    ...lines.map(([name, points, look]) => {
      const places = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
      return svg("polyline", { class: look, points: places }, svg("title", {}, name));
    }),
  );
  const epochs = own[0].curve.map(([epoch, value], at) => [epoch, ...own.map((one) => one.curve[at]?.[1] ?? "")]);
  const numbers = table("Learning curves", ["Epoch", ...own.map((one) => `seed ${one.seed}`)], epochs);
  const legend = "Blue: its seeds, this one thick. Grey: means of the other methods; point at a line for its name.";
  return [
    element("h3", {}, "Learning curves"),
    element("figure", {}, drawing, element("figcaption", {}, legend)),
    element("details", {}, element("summary", {}, "In numbers"), numbers),
  ];
}

/** The mean of the records' curves at the epochs of the first. */
function mean(some) {
  const at = (epoch) => some.map(({ curve }) => curve.find(([other]) => other === epoch)?.[1]);
  const points = (some[0]?.curve ?? []).map(([epoch]) => [epoch, at(epoch)]);
  const whole = points.filter(([, values]) => !values.includes(undefined));
  return whole.map(([epoch, values]) => [epoch, values.reduce((sum, value) => sum + value, 0) / values.length]);
}

/** Returns a scale from values to pixels, and round numbers for its ticks. */
function axis(values, from, to) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const rough = Math.max(high - low, 1e-9) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const [first, last] = [Math.floor(low / step), Math.max(Math.ceil(high / step), Math.floor(low / step) + 1)];
  const ticks = Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(6)));
  return [(value) => from + ((value / step - first) / (last - first)) * (to - from), ticks];
}

function download(name) {
  const whole = () =>
    records.map(({ right, ...record }) => ({ ...record, facts: Object.fromEntries(factsOf(record)) }));
  const url = URL.createObjectURL(new Blob([data.files[name] ?? JSON.stringify(whole(), null, 1)]));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it after the click
}
