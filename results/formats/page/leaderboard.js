// Sorts and filters the tables. The page is complete without a script.
// Text that a record brings reaches the document as text nodes and attribute values only, never as markup.
// This file and the others of its folder are joined to one module, in the order that html.py says.

const data = JSON.parse(document.getElementById("data").textContent);
const records = data.records;
const tables = [...document.querySelectorAll("main table")];
const entries = [...document.querySelectorAll("td[data-records]")];
const sections = [...document.querySelectorAll("main section")];
const form = document.querySelector("form");

const recordsOf = (entry) => (entry?.dataset.records ?? "").split(" ").filter(Boolean).map((at) => records[at]);
const rowsOf = (table) => [...table.tBodies[0].rows].filter((row) => !row.matches(".group"));
const labelOf = (row) => row.querySelector("bdi").textContent;
const measureOf = (part) => part.closest("section").dataset.metric ?? null;
const valuesOf = (entry) => recordsOf(entry).filter(({ values }) => values && Object.hasOwn(values, measureOf(entry)));
const element = (...made) => furnish(document.createElement(made[0]), ...made.slice(1));
const svg = (...made) => furnish(document.createElementNS("http://www.w3.org/2000/svg", made[0]), ...made.slice(1));

function furnish(made, attributes = {}, ...children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/* Sorting: the first click on a title sorts by the better end, the second by the other, the third restores groups. */

const original = new Map(tables.map((table) => [table, [...table.tBodies[0].rows]]));
for (const table of tables) {
  for (const title of table.tHead.rows[0].cells) {
    title.append(element("button", { type: "button" }, ...title.childNodes));
    title.firstChild.addEventListener("click", () => {
      sort(table, title, nextOrder(title));
      remember();
    });
  }
}

function nextOrder(title) {
  const first = title.dataset.first;
  const last = first === "ascending" ? "descending" : "ascending";
  const next = { [first]: last, [last]: null }[title.getAttribute("aria-sort")];
  return next === undefined ? first : next;
}

/** Sorts a table by a column; without an order, as it was in the beginning. */
function sort(table, title, order) {
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  if (order) title.setAttribute("aria-sort", order);
  table.classList.toggle("sorted", order !== null);
  const rows = order && sorted(rowsOf(table), title.cellIndex, order === "ascending" ? 1 : -1);
  table.tBodies[0].append(...(rows ?? original.get(table)));
}

/** Sorts rows by the number in a column, or by label; rows without a number come last in either direction. */
function sorted(rows, column, sign) {
  const number = (row) => Number(row.cells[column].dataset.value ?? sign * Infinity);
  const compare = column ? (a, b) => number(a) - number(b) || 0 : (a, b) => labelOf(a).localeCompare(labelOf(b), "en");
  return rows.sort((a, b) => sign * compare(a, b));
}

/* Filters */

form.addEventListener("input", choose);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(choose)); // the fields are empty only after the event

function choose() {
  filter();
  remember();
}

function filter() {
  const chosen = Object.fromEntries(new FormData(form));
  const { setting = "", task = "", size = "", seeds = "", group = "", method = "" } = chosen;
  const words = method.toLowerCase().split(/\s+/);
  for (const table of tables) {
    const titles = [...table.tHead.rows[0].cells];
    const others = titles.filter(({ dataset }) => task && "task" in dataset && dataset.task !== task);
    const means = titles.filter(({ dataset }) => others.length && "mean" in dataset); // over columns that are hidden
    const hidden = new Set([...others, ...means]);
    const columns = titles.filter((title) => title.dataset.task && !hidden.has(title));
    const measured = ({ dataset, cellIndex }) => "records" in dataset && !hidden.has(titles[cellIndex]);
    const wanted = (row) =>
      (!group || row.dataset.group === group) &&
      words.every((word) => labelOf(row).toLowerCase().includes(word)) &&
      (!seeds || !measureOf(table) || hasSeeds([...row.cells].filter(measured), Number(seeds)));
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
  for (const section of sections) {
    const blocks = [...section.querySelectorAll(":scope > .scroller")];
    const other = setting && section.dataset.setting !== setting;
    section.hidden = other || (blocks.length > 0 && blocks.every((block) => block.hidden));
  }
  const all = new Set(tables.flatMap(rowsOf).map(labelOf)).size;
  const left = new Set(tables.flatMap(rowsOf).filter((row) => row.checkVisibility()).map(labelOf)).size;
  form.querySelector("output").textContent =
    left === all ? `All ${all} methods` : `${left} of ${all} methods; best and second are still those of all`;
}

/** Returns true if there are entries, and each is of so many seeds at least. */
function hasSeeds(some, least) {
  return some.length > 0 && some.every((entry) => valuesOf(entry).length >= least);
}

/* Small parts of the document */

function table(caption, titles, rows) {
  const cells = (row) => row.map((cell, at) => element(at ? "td" : "th", at ? {} : { scope: "row" }, words(cell)));
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row))));
  const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head), body);
  return element("div", { class: "scroller", role: "region", tabindex: 0, "aria-label": caption }, made);
}

function words(value, digits = 2) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return value;
  return Math.abs(value) < 1e7 ? value.toLocaleString("en", { maximumFractionDigits: digits }) : value.toExponential(2);
}
