// Learning curves as a drawing.

const HEIGHT = 300;
const LEFT = 36;
const TOP = 28;
const BOTTOM = 262;

/** The mean of curves at the same epochs; the first of curves at different ones. */
function meanCurve(curves) {
  const epochs = (curve) => curve.map(([epoch]) => epoch).join();
  if (curves.some((curve) => epochs(curve) !== epochs(curves[0]))) return curves[0];
  const mean = (at) => curves.reduce((sum, curve) => sum + curve[at][1], 0) / curves.length;
  return curves[0].map(([epoch], at) => [epoch, mean(at)]);
}

/**
 * Accuracy over epochs.
 *
 * lines: from back to front, each with its points [epoch, accuracy], and the names of classes that it looks like.
 */
function drawing(lines, words) {
  const width = Math.min(640, innerWidth - 32); // in pixels of the screen, so that the letters have their size
  const right = width - 8;
  const points = lines.flatMap((line) => line.points);
  const epochs = ticks(Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x)), 8);
  const accuracies = ticks(Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y)), 6);
  const x = scale(epochs, LEFT, right);
  const y = scale(accuracies, BOTTOM, TOP);
  const text = (at, content, attributes) => svg("text", { x: at[0], y: at[1], ...attributes }, content);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": words },
    ...accuracies.map((tick) => svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(tick), y2: y(tick) })),
    ...accuracies.map((tick) => text([LEFT - 8, y(tick) + 4], String(tick), { "text-anchor": "end" })),
    ...epochs.map((tick) => text([x(tick), BOTTOM + 18], String(tick), { "text-anchor": "middle" })),
    text([0, 12], "Top-1 accuracy (%)", {}),
    text([right, HEIGHT - 4], "epochs of tuning", { "text-anchor": "end" }),
    ...lines.flatMap(({ points, look }) => {
      const places = points.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`);
      const [cx, cy] = places.at(-1).split(",");
      return [
        svg("polyline", { class: look, points: places.join(" ") }),
        svg("circle", { class: look, cx, cy, r: 3 }),
      ];
    }),
  );
}

/** Round numbers from at most `least` to at least `most`, about `count` of them. */
function ticks(least, most, count) {
  const rough = Math.max(most - least, 0.1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const made = [];
  for (let index = Math.floor(least / step + 1e-9); made.length < 2 || made.at(-1) < most - 1e-9; index += 1) {
    made.push(Number((index * step).toPrecision(6)));
  }
  return made;
}

function scale(values, from, to) {
  const [first, last] = [values[0], values.at(-1)];
  return (value) => from + ((value - first) / (last - first)) * (to - from);
}
