// Keeps what the reader has chosen in the fragment of the page's address, and opens what a fragment says:
//
//   #ADDRESS                            a record
//   #TABLE                              a table
//   #size=micro&sort=TABLE/micro/depth%204/descending&compare=TABLE/WAVE/He-Init
//
// A part of a view is NAME=VALUE, or several values with a slash between. Names are `table`, `sort`, `compare` and those
// of the filters.

let looked = null; // the table that a link of the page led to
const fields = new Map([...form.elements].filter(({ name }) => name).map((field) => [field.name, field]));
const problem = document.querySelector(".problem");
const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
const sectionOf = (id) => sections.find((section) => section.id === id);

/** Returns the fragment of what the reader has chosen, without its sign; empty if nothing is. */
function view() {
  const parts = [
    ...(looked ? [["table", looked]] : []),
    ...[...fields].filter(([, field]) => field.value).map(([name, field]) => [name, field.value]),
    ...tables.flatMap((table) => {
      const title = [...table.tHead.rows[0].cells].find((cell) => cell.hasAttribute("aria-sort"));
      if (!title) return [];
      const place = [table.closest("section").id, table.parentElement.dataset.size, title.dataset.column];
      return [["sort", ...place, title.getAttribute("aria-sort")]];
    }),
    ...forms
      .filter((one) => selectedRows(one).some(Boolean))
      .map((one) => ["compare", one.closest("section").id, ...selectedRows(one)]),
  ];
  return parts.map(([name, ...values]) => `${name}=${values.map(escaped).join("/")}`).join("&");
}

/** Puts what is chosen into the address, without a step in the browser's history. */
function remember() {
  problem.hidden = true;
  if (view() || location.hash.includes("=")) write(view());
}

function write(fragment) {
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
}

/** Opens what the address says; one line names what of it is not on this page. */
function follow() {
  const fragment = location.hash.slice(1);
  const record = recordOf(location.hash);
  problem.hidden = true;
  if (record) return openRecord(record);
  if (dialog.open) dialog.close();
  if (fragment.includes("=") || !fragment) return apply(fragment);
  const id = decoded(fragment);
  if (id === null || !document.getElementById(id)) return ignore([fragment]);
  if (!sectionOf(id)) return;
  looked = null;
  const chosen = view();
  looked = id;
  if (chosen) write(view());
  sectionOf(id).scrollIntoView();
}

/** Chooses what a fragment names, and nothing else. */
function apply(fragment) {
  looked = null;
  for (const field of fields.values()) field.value = "";
  for (const table of tables) if (table.matches(".sorted")) sort(table, table.tHead.rows[0].cells[0], null);
  for (const one of forms) for (const select of one.querySelectorAll("select")) select.value = "";
  const ignored = fragment.split("&").filter((part) => part && !use(part));
  filter();
  forms.forEach(showComparison);
  const last = forms.find((one) => selectedRows(one).some(Boolean));
  if (ignored.length) return ignore(ignored);
  (looked ? sectionOf(looked) : last)?.scrollIntoView();
}

/** Chooses what a part of a fragment names; returns false if there is nothing of this name. */
function use(part) {
  const [, name, rest] = part.match(/^([^=]*)=(.*)$/s) ?? [];
  const values = (rest ?? "").split("/").map(decoded);
  if (name === undefined || values.includes(null)) return false;
  const section = sectionOf(values[0]);
  if (name === "table" && values.length === 1) return Boolean(section) && Boolean((looked = values[0]));
  if (name === "sort" && values.length === 4) return section ? useSort(section, ...values.slice(1)) : false;
  if (name === "compare" && values.length === 3) return section ? useComparison(section, values.slice(1)) : false;
  return fields.has(name) && values.length === 1 && put(fields.get(name), values[0]);
}

function useSort(section, size, column, order) {
  const table = tablesOf(section).find((one) => one.parentElement.dataset.size === size);
  const title = table && [...table.tHead.rows[0].cells].find(({ dataset }) => dataset.column === column);
  if (!title || !["ascending", "descending"].includes(order)) return false;
  sort(table, title, order);
  return true;
}

function useComparison(section, labels) {
  const one = forms.find((other) => section.contains(other));
  if (!one) return false;
  const selects = [...one.querySelectorAll("select")];
  if (selects.every((select, at) => put(select, labels[at]))) return true;
  for (const select of selects) select.value = "";
  return false;
}

/** Puts a value into a field; returns false if a menu does not have it. */
function put(field, value) {
  if (field.localName === "select" && ![...field.options].some((option) => option.value === value)) return false;
  field.value = value;
  return true;
}

function ignore(parts) {
  const shown = parts.map((part) => (part.length > 60 ? `${part.slice(0, 60)}...` : part)).join(", ");
  problem.textContent = `Not on this page, and ignored in its address: ${shown}`;
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
}

/** Returns a part of an address without its escapes; null if they are broken. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
for (const one of document.querySelectorAll(".comparison")) one.hidden = !forms.includes(one);
filter();
addEventListener("hashchange", follow);
follow();
