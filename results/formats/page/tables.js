// Tables: from number to number with the arrow keys, sorting, filters.

const tables = [...document.querySelectorAll("[data-metric] table")];
const form = document.querySelector("form");
const shown = (part) => part.closest("[hidden]") === null;
const wanted = (choice, value) => choice.length === 0 || choice.includes(value);

for (const table of tables) {
  table.addEventListener("keydown", walk);
  table.addEventListener("focusin", (event) => makeStop(table, event.target));
  makeSortable(table);
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", filter);
form.addEventListener("reset", () => setTimeout(filter)); // the boxes are empty only after the event
filter();

/** One number of a table is a stop of the tab key; the arrow keys go on from there. */
function makeStop(table, chosen) {
  const links = [...table.querySelectorAll("[data-records] > a")];
  const current = links.find((link) => link.tabIndex === 0);
  const next = links.includes(chosen) ? chosen : current && shown(current) ? current : links.find(shown);
  current?.setAttribute("tabindex", -1);
  next?.setAttribute("tabindex", 0);
}

function walk(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const start = event.target.parentElement;
  if (!step || event.altKey || event.ctrlKey || event.metaKey || event.target !== linkIn(start)) return;
  event.preventDefault();
  const rows = [...event.currentTarget.querySelectorAll("tbody tr:not(.family)")].filter(shown);
  let row = rows.indexOf(start.parentElement);
  let column = start.cellIndex;
  let cell;
  do {
    row += step[0];
    column += step[1];
    cell = rows[row]?.cells[column];
  } while (cell && !(shown(cell) && linkIn(cell)));
  linkIn(cell)?.focus();
}

/** Titles of columns become buttons: the better end first, then the other, then the families again. */
function makeSortable(table) {
  const families = [...table.tBodies];
  const home = new Map([...table.querySelectorAll("tbody tr:not(.family)")].map((row) => [row, row.parentElement]));
  const ranking = element("tbody", { class: "ranking" });
  table.append(ranking);
  const titles = [...table.querySelectorAll("th[data-first]")];
  for (const title of titles) {
    title.append(element("button", { type: "button" }, ...title.childNodes));
    title.firstChild.addEventListener("click", () => sort(title));
  }

  function sort(title) {
    const { first } = title.dataset;
    const opposite = first === "ascending" ? "descending" : "ascending";
    const now = title.getAttribute("aria-sort");
    const next = now === null ? first : now === first ? opposite : null;
    for (const other of titles) other.removeAttribute("aria-sort");
    if (next) {
      title.setAttribute("aria-sort", next);
      ranking.append(...sorted([...home.keys()], title.cellIndex, next));
    } else {
      for (const [row, family] of home) family.append(row);
    }
    for (const family of families) family.classList.toggle("emptied", next !== null);
  }
}

/** By the number in a column, or by name in the first; what has no number comes last in either direction. */
function sorted(rows, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  if (column === 0) return rows.sort((one, other) => sign * nameOf(one).localeCompare(nameOf(other), "en"));
  const number = (row) => Number(row.cells[column].dataset.value ?? Infinity * sign);
  return rows.sort((one, other) => sign * (number(one) - number(other)) || 0);
}

/** Hides what is not chosen; nothing chosen of a kind means all of it. */
function filter() {
  const chosen = (name) => [...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);
  const [metrics, tasks, sizes, families] = ["metric", "task", "size", "family"].map(chosen);

  for (const row of document.querySelectorAll("main tbody tr")) row.hidden = !wanted(families, row.dataset.family);
  for (const section of document.querySelectorAll("section")) {
    const scrollers = [...section.querySelectorAll(".scroller")];
    for (const scroller of scrollers) {
      const rows = scroller.querySelectorAll("tbody tr:not([hidden])").length > 0;
      const columns = !section.dataset.metric || chooseColumns(scroller.firstElementChild, tasks) > 0;
      const size = !section.dataset.metric || wanted(sizes, scroller.dataset.size);
      scroller.hidden = !(rows && columns && size);
    }
    const metric = !section.dataset.metric || wanted(metrics, section.dataset.metric);
    section.hidden = !metric || scrollers.every((scroller) => scroller.hidden);
  }
  for (const table of tables) makeStop(table, null);

  form.querySelector("[type=reset]").disabled = [metrics, tasks, sizes, families].every((choice) => !choice.length);
  document.querySelector(".nothing").hidden = document.querySelector("section:not([hidden])") !== null;
  form.querySelector("output").textContent = told(families.length > 0);
}

/** How many methods the tables of accuracies show. */
function told(chosen) {
  const rows = tables.flatMap((table) => [...table.querySelectorAll("tbody tr:not(.family)")]);
  const all = new Set(rows.map(nameOf)).size;
  const left = new Set(rows.filter(shown).map(nameOf)).size;
  if (left === all) return all ? `All ${all} methods` : "";
  return `${left} of ${all} methods${chosen && left ? "; the best and the second are still those of all" : ""}`;
}

/** Shows the columns of some tasks, and the means over all columns only beside all; returns how many are left. */
function chooseColumns(table, tasks) {
  const titles = table.tHead.rows[1];
  const columns = [...titles.querySelectorAll("[data-task]")];
  const unwanted = columns.filter((title) => !wanted(tasks, title.dataset.task));
  const means = unwanted.length ? [...titles.querySelectorAll(".mean")] : [];
  const hidden = new Set([...unwanted, ...means].map((title) => title.cellIndex));
  for (const row of [titles, ...table.querySelectorAll("tbody tr:not(.family)")]) {
    for (const cell of row.cells) cell.hidden = hidden.has(cell.cellIndex);
  }
  for (const family of table.querySelectorAll(".family th")) family.colSpan = titles.cells.length - hidden.size;
  for (const space of table.tHead.querySelectorAll(".mean-space")) space.hidden = means.length > 0;
  table.tHead.querySelector(".axis").colSpan = Math.max(1, columns.length - unwanted.length);
  return columns.length - unwanted.length;
}
