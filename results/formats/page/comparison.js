// Compares two rows of a table, seed by seed, and image by image where predictions are kept.

const forms = [...document.querySelectorAll(".comparison")].filter((one) => measureFacts(one));
const nothing = "—";
const reference = "pre-training"; // the group that takes no part in comparisons of initializations

const tablesOf = (section) => tables.filter((table) => section.contains(table));
const selectedRows = (one) => [...one.querySelectorAll("select")].map((select) => select.value);

for (const one of forms) {
  for (const select of one.querySelectorAll("select")) select.append(...menu(one.closest("section")));
  one.addEventListener("submit", (event) => event.preventDefault());
  one.addEventListener("input", () => compared(one));
  one.querySelector("button").addEventListener("click", () => {
    const [first, second] = one.querySelectorAll("select");
    [first.value, second.value] = [second.value, first.value];
    compared(one);
  });
}

/** Shows what is chosen and puts it into the address. */
function compared(one) {
  showComparison(one);
  looked = null; // the comparison is what the reader looks at now
  remember();
}

function measureFacts(part) {
  const name = measureOf(part);
  return name !== null && Object.hasOwn(data.measures, name) ? data.measures[name] : null;
}

/** Returns the rows of a table as options, by group. */
function menu(section) {
  const groups = new Map();
  for (const row of tablesOf(section).flatMap(rowsOf)) {
    const group = groups.get(row.dataset.group) ?? new Set();
    groups.set(row.dataset.group, group.add(labelOf(row)));
  }
  return [...groups].map(([group, labels]) => {
    const options = [...labels].map((label) => element("option", { value: label }, label));
    return element("optgroup", { label: group[0].toUpperCase() + group.slice(1) }, ...options);
  });
}

/** Returns what two rows have in every column of one target, in the order of the table. */
function targetsOf(section, labels) {
  return tablesOf(section).flatMap((table) => {
    const rows = labels.map((label) => original.get(table).find((row) => !row.matches(".group") && labelOf(row) === label));
    const titles = [...table.tHead.rows[0].cells].filter(({ dataset }) => "task" in dataset);
    return titles.map((title) => ({
      name: [table.parentElement.dataset.size, title.dataset.column].filter(Boolean).join(", "),
      entries: rows.map((row) => row?.cells[title.cellIndex] ?? null),
    }));
  });
}

/** Returns the differences of two entries by seed: first minus second, of the seeds that both have. */
function differencesOf([first, second]) {
  const [mine, others] = [first, second].map(
    (entry) => new Map(entry ? valuesOf(entry).map((record) => [record.seed, record.values[measureOf(entry)]]) : []),
  );
  const seeds = [...mine.keys()].filter((seed) => others.has(seed)).sort((a, b) => a - b);
  return new Map(seeds.map((seed) => [seed, rounded(mine.get(seed) - others.get(seed))]));
}

const rounded = (value) => Math.round(value * 1e9) / 1e9; // sums may have been added up in another order
const isComplete = (entry) => entry && recordsOf(entry).length > 0 && valuesOf(entry).length === recordsOf(entry).length;

/** Returns the differences of the means over all targets where neither row lacks a result, by seed. */
function overall(targets) {
  const whole = targets.filter(({ entries }) => entries.every(isComplete)).map(({ entries }) => differencesOf(entries));
  if (whole.length < 2) return null;
  const seeds = [...whole[0].keys()].filter((seed) => whole.every((differences) => differences.has(seed)));
  const mean = (seed) => rounded(average(whole.map((differences) => differences.get(seed))));
  return { count: whole.length, differences: new Map(seeds.map((seed) => [seed, mean(seed)])) };
}

function showComparison(one) {
  const section = one.closest("section");
  const labels = selectedRows(one);
  const [place, said] = [one.nextElementSibling, one.querySelector("output")];
  said.replaceChildren();
  place.replaceChildren();
  if (labels.includes("")) return;
  if (labels[0] === labels[1]) return said.append("Choose two different rows.");
  const measure = measureFacts(one);
  const targets = targetsOf(section, labels);
  const every = "ways" in section.dataset ? null : overall(targets);
  const lines = targets.map(({ name, entries }) => [name, differencesOf(entries)]);
  if (every) lines.push([`All ${every.count} targets`, every.differences]);
  said.append(...summary(labels, measure, lines, every));
  place.append(
    element("h4", {}, element("bdi", {}, labels[0]), " minus ", element("bdi", {}, labels[1])),
    seedStatistics(labels, measure, lines),
    element("details", {}, element("summary", {}, "Difference of each seed"), seedDifferences(measure, lines)),
    notes(seedNotes(section, labels, measure, targets, every)),
    ...(measure.initial ? [] : imageStatistics(targets, labels)),
  );
}

/** Says the difference over all targets, or of the only one, in a sentence. */
function summary(labels, measure, lines, every) {
  const [name, differences] = lines.at(-1);
  const values = [...differences.values()];
  if (!every && lines.length > 1) return ["There is no mean over all targets; the table has each."];
  if (!values.length) return ["No seed has a result of both."];
  const interval = tInterval(values);
  const counts = won(measure, values);
  const leader = counts[0] >= counts[1] ? 0 : 1;
  return [
    `${every ? `Mean of ${every.count} targets` : name}, ${plural(values.length, "seed")}: `,
    `${signed(average(values), measure.decimals)}${measure.unit === "%" ? " points" : measure.unit && ` ${measure.unit}`}`,
    interval ? ` (95 %: ${ends(interval, measure.decimals)}); ` : "; ",
    element("bdi", {}, labels[leader]),
    ` is better in ${counts[leader]} of ${values.length}`,
  ];
}

function seedStatistics(labels, measure, lines) {
  const better = labels.map((label) => named("", label, " better"));
  const titles = ["Target", "Seeds", "Difference", "95 % interval", "p, t-test", "p, sign-flip", ...better];
  const rows = lines.map(([name, differences]) => {
    const values = [...differences.values()];
    if (!values.length) return [name, "0", ...Array(6).fill(nothing)];
    const [wins, losses] = won(measure, values);
    return [
      name,
      String(values.length),
      signed(average(values), measure.decimals),
      ends(tInterval(values), measure.decimals),
      probability(tTestP(values)),
      probability(signFlipP(values)),
      String(wins),
      String(losses),
    ];
  });
  return table("Over seeds", titles, rows);
}

function seedDifferences(measure, lines) {
  const seeds = [...new Set(lines.flatMap(([, differences]) => [...differences.keys()]))].sort((a, b) => a - b);
  const shown = (value) => (value === undefined ? nothing : signed(value, measure.decimals + 1));
  const rows = lines.map(([name, differences]) => [name, ...seeds.map((seed) => shown(differences.get(seed)))]);
  return table("Difference of each seed", ["Target", ...seeds.map((seed) => `seed ${seed}`)], rows);
}

/** Returns in how many seeds the first is better, and in how many the second. */
function won(measure, values) {
  const better = (sign) => values.filter((value) => sign * measure.sign * value > 0).length;
  return [better(1), better(-1)];
}

function seedNotes(section, labels, measure, targets, every) {
  const unit = measure.unit === "%" ? ", percentage points" : measure.unit && `, ${measure.unit}`;
  const most = Math.max(...targets.map(({ entries }) => differencesOf(entries).size));
  const rows = tablesOf(section).flatMap(rowsOf).filter((row) => row.dataset.group === reference);
  const without = every ? targets.length - every.count : 0;
  return [
    `Difference: first row minus second${unit}, mean over the seeds that both have. The same seed gives both the same ` +
      "batches, so the differences are paired. 95 % interval and t-test: Student's t, for normal differences.",
    "Sign-flip: exact test of all ways to sign the differences, which assumes no distribution; " +
      (most > MOST_SIGNS
        ? `left out for more than ${MOST_SIGNS} seeds.`
        : `with ${plural(most, "seed")} its p is never below ${probability(Math.min(1, 2 / 2 ** most))}.`),
    "Each p is of this pair alone. Of many pairs that are looked at, some have a small p by chance; the command " +
      "lgbench report --statistics corrects for their number.",
    "Better: number of seeds in which the row is better; the rest are equal.",
    ...(measure.sign < 0 ? ["Lower is better: a difference below zero is in favour of the first row."] : []),
    ...(without ? [`All ${every.count} targets: without ${plural(without, "target")}, of which a row lacks a result.`] : []),
    ...("ways" in section.dataset ? ["No mean: the columns are one target, fine-tuned in several ways."] : []),
    ...labels
      .filter((label) => rows.some((row) => labelOf(row) === label))
      .map((label) => `${label} is a reference and no initialization: it is trained for longer.`),
  ];
}

/* Over images */

function imageStatistics(targets, labels) {
  const { problems, tooLarge } = data.images;
  if (tooLarge) {
    const command = "lgbench report --table predictions";
    return [remark(`Over images: left out, since it would make the page larger by more than 1 MB. ${command} has it.`)];
  }
  const lines = targets.map(({ name, entries }) => [name, overImagesOf(entries)]).filter(([, found]) => found);
  if (!lines.length) {
    const none = "Over images: nothing to compare, as no predictions of both for the same images lie beside the records.";
    return [remark(none), ...(problems.length ? [notes(problems)] : [])];
  }
  const only = labels.map((label) => named("Only ", label, " (%)"));
  const titles = ["Target", "Images", "Seeds", "Both right (%)", ...only, "Neither (%)", "Difference", "95 % bootstrap"];
  const rows = lines.map(([name, found]) => [
    name,
    String(found.images),
    String(found.seeds),
    ...[found.both, found.onlyFirst, found.onlySecond, found.neither].map((share) => (100 * share).toFixed(1)),
    signed(100 * found.difference, 1),
    ends(found.interval.map((end) => 100 * end), 1),
    probability(found.p),
  ]);
  const views = [...new Set(lines.map(([, found]) => found.views))].filter((count) => count > 1);
  return [
    table("Over images", [...titles, "p, McNemar"], rows),
    notes([
      "Images that both, only one, or neither classify right; mean over seeds. Difference: of the accuracies, percentage " +
        "points. Bootstrap: images are drawn again, the same for both and in all seeds; its ends are those of infinitely " +
        "many draws.",
      `McNemar: exact test; an image in all seeds${views.length ? `, and ${views.join(" or ")} images of one thing,` : ""} ` +
        "is one observation (exact sign-flip test of the sums).",
      "Both tell what other test images would change, not what other seeds would.",
      ...problems,
    ]),
  ];
}

/** Returns what two entries have in common over images; null where no seed has predictions of both for the same ones. */
function overImagesOf(entries) {
  const [mine, others] = entries.map(
    (entry) => new Map(recordsOf(entry).filter(({ right }) => right).map(({ seed, right }) => [seed, right])),
  );
  const seeds = [...mine.keys()].filter((seed) => others.has(seed));
  const sets = new Set(seeds.flatMap((seed) => [mine.get(seed)[0], others.get(seed)[0]]));
  if (sets.size !== 1) return null;
  const [images, views] = data.images.sets[[...sets][0]];
  const bits = (side) => seeds.map((seed) => Uint8Array.from(atob(side.get(seed)[1]), (letter) => letter.charCodeAt(0)));
  return { images, views, seeds: seeds.length, ...overImages(bits(mine), bits(others), images, views) };
}

/* Numbers in words, as results/tables/numbers.py prints them */

const signed = (value, decimals) => (Number(evenly(value, "toFixed", decimals)) > 0 ? "+" : "") + fixed(value, decimals);
const fixed = (value, decimals) =>
  evenly(value, "toFixed", decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−"); // zero has no sign
const ends = (interval, decimals) => interval?.map((end) => fixed(end, decimals)).join(" to ") ?? nothing;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function probability(p) {
  if (p === null) return nothing;
  return p < 0.001 ? "<0.001" : String(Number(evenly(p, "toPrecision", 2)));
}

/** Prints a number; one that is just between two neighbours, such as 0.0625, goes to the even one, as in Python. */
function evenly(value, print, digits) {
  const text = value[print](digits);
  const last = Number(text.at(-1));
  const between = /^50*$/.test(value[print](digits + 40).slice(-40));
  return between && last % 2 ? text.slice(0, -1) + (last - 1) : text;
}

const remark = (text) => element("p", { class: "notes" }, text);
const named = (before, label, after) => element("span", {}, before, element("bdi", {}, label), after);
const notes = (texts) => element("ul", { class: "notes" }, ...texts.map((text) => element("li", {}, element("bdi", {}, text))));
