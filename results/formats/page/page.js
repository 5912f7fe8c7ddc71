// What every part of the script uses: the data, elements, numbers as links to their records, downloads.
//
// The files of this folder are one module, in the order page.js, tables.js, curves.js, records.js. The page is complete
// without them. Whatever text a record brings reaches the document as text, never as markup.

const packed = JSON.parse(document.getElementById("data").textContent);
const data = JSON.parse(await unpacked(packed.records));
const columns = columnsOf(await unpacked(packed.cells), data.rows.length + 1);
const records = data.rows.map(recordOf);

/** Deflated text in base64, as `page_data.packed` makes it. */
async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

/** The columns of the CSV of all cells by their titles; these are the first of their `height` fields. */
function columnsOf(text, height) {
  const fields = text.split("\n");
  const starts = Array.from({ length: fields.length / height }, (_, index) => index * height);
  return new Map(starts.map((start) => [fields[start], fields.slice(start, start + height)]));
}

/** What the script uses of a row of the CSV; without `run` where there is no result. */
function recordOf(row, index) {
  const field = (title) => columns.get(title)[index + 1];
  let tenths = 0;
  const curve = row.steps?.map((step, at) => [data.epochs[row.epochs][at], (tenths += step) / 10]);
  const address = field("address").slice(0, data.folder_digits);
  return { ...row, address, seed: field("seed"), field, curve: curve ?? [] };
}

/** An element with attributes and children; texts among these become text nodes. */
function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return furnished(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function furnished(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const fragmentOf = (record) => `#${encodeURIComponent(record.address)}`;
const positionsIn = (entry) => (entry.dataset.records ?? "").split(" ").filter(Boolean);
const recordsIn = (entry) => positionsIn(entry).map((position) => records[position]);
const linkIn = (entry) => entry?.querySelector(":scope > a");
const nameOf = (row) => row.querySelector("th bdi").textContent;

const entryOf = new Map();

for (const entry of document.querySelectorAll("td[data-records]")) {
  const own = recordsIn(entry);
  for (const record of own) if (!entryOf.has(record)) entryOf.set(record, entry);
  const value = entry.firstChild;
  const link = element("a", { href: fragmentOf(own[0]), tabindex: -1 });
  value.replaceWith(link);
  link.append(value);
}

for (const button of document.querySelectorAll("[data-file]")) {
  button.addEventListener("click", () => download(button.dataset.file));
}

async function download(name) {
  const text = name === "cells.csv" ? allCells() : await unpacked(packed.files[name]);
  const url = URL.createObjectURL(new Blob([text], { type: name.endsWith(".csv") ? "text/csv" : "text/x-tex" }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it some time after the click
}

function allCells() {
  const every = [...columns.values()];
  return every[0].map((_, row) => `${every.map((column) => column[row]).join()}\n`).join("");
}

for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
