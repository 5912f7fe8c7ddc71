// Sorts and filters the tables, and opens the records behind a number. The page is complete without it.
// Text that a record brings reaches the document as text nodes and attribute values only, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const records = data.records;
const tables = [...document.querySelectorAll("main table")];
const entries = [...document.querySelectorAll("td[data-records]")];
const form = document.querySelector("form");
const dialog = document.querySelector("dialog");
const moments = ["as initialized", "after fine-tuning"];
const amounts = ["epochs", "iterations", "images", "FLOPs", "seconds", "numbers trained"];

const recordsOf = (entry) => (entry?.dataset.records ?? "").split(" ").filter(Boolean).map((at) => records[at]);
const rowsOf = (table) => [...table.tBodies[0].rows].filter((row) => !row.matches(".group"));
const labelOf = (row) => row.querySelector("bdi").textContent;
const factsOf = (record) => record.facts.map((at) => data.facts[at]);
const hashOf = (record) => `#${encodeURIComponent(record.address)}`;
const element = (...made) => furnish(document.createElement(made[0]), ...made.slice(1));
const svg = (...made) => furnish(document.createElementNS("http://www.w3.org/2000/svg", made[0]), ...made.slice(1));

function furnish(made, attributes = {}, ...children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/* Sorting: the first click on a title sorts by the better end, the second by the other, the third restores groups. */

for (const table of tables) {
  const original = [...table.tBodies[0].rows];
  for (const title of table.tHead.rows[0].cells) {
    title.append(element("button", { type: "button" }, ...title.childNodes));
    title.firstChild.addEventListener("click", () => sort(table, title, original));
  }
}

function sort(table, title, original) {
  const first = title.dataset.first;
  const last = first === "ascending" ? "descending" : "ascending";
  const order = { [first]: last, [last]: null }[title.getAttribute("aria-sort")];
  const next = order === undefined ? first : order;
  for (const cell of title.parentElement.cells) cell.removeAttribute("aria-sort");
  if (next) title.setAttribute("aria-sort", next);
  table.classList.toggle("sorted", next !== null);
  table.tBodies[0].append(...(next ? sorted(rowsOf(table), title.cellIndex, next === "ascending" ? 1 : -1) : original));
}

/** Sorts rows by the number in a column, or by label; rows without a number come last in either direction. */
function sorted(rows, column, sign) {
  const number = (row) => Number(row.cells[column].dataset.value ?? sign * Infinity);
  const compare = column ? (a, b) => number(a) - number(b) || 0 : (a, b) => labelOf(a).localeCompare(labelOf(b), "en");
  return rows.sort((a, b) => sign * compare(a, b));
}

/* Filters */

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter)); // the fields are empty only after the event
filter();

function filter() {
  const { setting = "", task = "", size = "", group = "", method = "" } = Object.fromEntries(new FormData(form));
  const words = method.toLowerCase().split(/\s+/);
  const wanted = (row) =>
    (!group || row.dataset.group === group) && words.every((word) => labelOf(row).toLowerCase().includes(word));
  for (const table of tables) {
    const titles = [...table.tHead.rows[0].cells];
    const others = titles.filter(({ dataset }) => task && "task" in dataset && dataset.task !== task);
    const means = titles.filter(({ dataset }) => others.length && "mean" in dataset); // over columns that are hidden
    const hidden = new Set([...others, ...means]);
    const columns = titles.filter((title) => title.dataset.task && !hidden.has(title));
    const rows = rowsOf(table);
    for (const row of rows) row.hidden = !wanted(row);
    for (const row of [table.tHead.rows[0], ...rows]) {
      for (const cell of row.cells) cell.hidden = hidden.has(titles[cell.cellIndex]);
    }
    const left = rows.filter((row) => !row.hidden);
    for (const row of table.querySelectorAll(".group")) {
      row.hidden = left.every((other) => other.dataset.group !== row.dataset.group);
      row.cells[0].colSpan = titles.length - hidden.size;
    }
    const block = table.parentElement;
    const otherSize = size && block.dataset.size && block.dataset.size !== size;
    block.hidden = otherSize || left.length === 0 || (hidden.size > 0 && columns.length === 0);
    const picture = block.nextElementSibling?.closest(".picture");
    if (picture) {
      picture.hidden = block.hidden || hidden.size > 0; // it shows all tasks
      const shown = new Set(left.map(labelOf));
      for (const line of picture.querySelectorAll("[data-label]")) {
        line.toggleAttribute("hidden", !shown.has(line.dataset.label));
      }
    }
  }
  for (const section of document.querySelectorAll("section")) {
    const blocks = [...section.querySelectorAll(".scroller")];
    const other = setting && section.dataset.setting !== setting;
    section.hidden = other || (blocks.length > 0 && blocks.every((block) => block.hidden));
  }
  const all = new Set(tables.flatMap(rowsOf).map(labelOf)).size;
  const left = new Set(tables.flatMap(rowsOf).filter((row) => row.checkVisibility()).map(labelOf)).size;
  form.querySelector("output").textContent =
    left === all ? `All ${all} methods` : `${left} of ${all} methods; best and second are still those of all`;
}

/* Records: each number links to its first record, and the address of the page names the record that is open. */

for (const entry of entries) {
  entry.firstChild.replaceWith(element("a", { href: hashOf(recordsOf(entry)[0]) }, entry.firstChild.cloneNode(true)));
}
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
for (const button of document.querySelectorAll("[data-file]")) {
  button.addEventListener("click", () => download(button.dataset.file));
}

let opener = null;
addEventListener("hashchange", follow);
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  history.replaceState(null, "", location.pathname + location.search);
  opener?.querySelector("a").focus();
});
follow();

function follow() {
  const record = records.find((other) => hashOf(other) === location.hash);
  if (!record) return dialog.open && dialog.close();
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

function table(caption, titles, rows) {
  const cells = (row) => row.map((cell, at) => element(at ? "td" : "th", at ? {} : { scope: "row" }, words(cell)));
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row))));
  const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head), body);
  return element("div", { class: "scroller", tabindex: 0 }, made);
}

function words(value, digits = 2) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return value;
  return Math.abs(value) < 1e7 ? value.toLocaleString("en", { maximumFractionDigits: digits }) : value.toExponential(2);
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
  const whole = () => records.map((record) => ({ ...record, facts: Object.fromEntries(factsOf(record)) }));
  const url = URL.createObjectURL(new Blob([data.files[name] ?? JSON.stringify(whole(), null, 1)]));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it after the click
}
