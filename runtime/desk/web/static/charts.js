// Charts drawn as SVG: a histogram with lines that can be dragged, and a run of values with its limits.

import { svg } from "./dom.js";

const W = 760;
const H = 260;
const PAD = { left: 46, right: 14, top: 12, bottom: 34 };

/** A scale from values to pixels, linear or logarithmic, with its inverse. */
export function scale(low, high, from, to, log = false) {
  const f = log ? Math.log : (x) => x;
  const g = log ? Math.exp : (x) => x;
  const [a, b] = [f(low), f(high)];
  const span = b - a || 1;
  const to_ = (value) => from + ((f(value) - a) / span) * (to - from);
  to_.back = (pixel) => g(a + ((pixel - from) / (to - from)) * span);
  return to_;
}

/** Round numbers between low and high, about so many. */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const first = Math.ceil(low / step);
  const many = Math.min(Math.floor(high / step + 1e-6) - first + 1, 4 * count);
  return Array.from({ length: Math.max(0, many) }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

const plain = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toPrecision(3));

function frame(label, children) {
  return svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": label }, children);
}

function axisX(x, values, format) {
  const y = H - PAD.bottom;
  return [svg("line", { class: "axis", x1: PAD.left, x2: W - PAD.right, y1: y, y2: y }),
    ...values.map((value) => svg("text", { class: "tick", x: x(value), y: y + 20, "text-anchor": "middle" }, format(value)))];
}

/**
 * Stacked bars over the logarithm of the score. kinds: [[name, class]]; bins: [{low, high, ...counts}];
 * lines: [{name, value, class, label}], each dragged if `onDrag(name, value, done)` is given. Arrow keys move a line too.
 */
export function histogram(bins, kinds, lines, label, onDrag) {
  const values = lines.map((line) => line.value).filter(Boolean);
  const low = Math.min(...bins.map((bin) => bin.low), ...values) * 0.95;
  const high = Math.max(...bins.map((bin) => bin.high), ...values) * 1.05;
  const most = Math.max(1, ...bins.map((bin) => kinds.reduce((sum, [name]) => sum + bin[name], 0)));
  const x = scale(low, high, PAD.left, W - PAD.right, true);
  // A single part has to be seen beside a thousand: the height is the root of the count.
  const y = (count) => H - PAD.bottom - Math.sqrt(count / most) * (H - PAD.top - PAD.bottom);
  const bars = [];
  for (const bin of bins) {
    let below = 0;
    for (const [name, kind] of kinds) {
      if (!bin[name]) continue;
      const [top, bottom] = [y(below + bin[name]), y(below)];
      bars.push(svg("rect", { class: `bar ${kind}`, x: x(bin.low), y: top, width: Math.max(1, x(bin.high) - x(bin.low) - 0.5), height: Math.max(1, bottom - top) }));
      below += bin[name];
    }
  }
  const root = frame(label, [...bars,
    ...[1, Math.round(most / 4), most].filter((count, place, all) => count > 0 && all.indexOf(count) === place).map((count) =>
      svg("text", { class: "tick", x: PAD.left - 6, y: y(count) + 4, "text-anchor": "end" }, String(count))),
    ...axisX(x, ticks(low, high, 8).filter((value) => value > 0), plain)]);
  for (const line of lines) if (line.value) root.append(marker(root, line, x, onDrag));
  return root;
}

function marker(root, line, x, onDrag) {
  const at = x(line.value);
  const group = svg("g", { class: `marker ${line.class || ""}`, transform: `translate(${at} 0)` },
    svg("line", { x1: 0, x2: 0, y1: PAD.top, y2: H - PAD.bottom }),
    svg("text", { x: 6, y: PAD.top + 12 }, line.label));
  if (!onDrag || line.fixed) return group;
  group.classList.add("drags");
  group.append(svg("rect", { class: "grip", x: -12, y: PAD.top, width: 24, height: H - PAD.top - PAD.bottom }));
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "slider");
  group.setAttribute("aria-label", line.label);
  let value = line.value;
  const move = (next, done) => {
    const pixel = Math.min(W - PAD.right, Math.max(PAD.left, x(next)));
    value = x.back(pixel);
    group.setAttribute("transform", `translate(${pixel} 0)`);
    group.setAttribute("aria-valuenow", value.toPrecision(4));
    onDrag(line.name, value, done);
  };
  const pixelOf = (event) => {
    const box = root.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * W;
  };
  group.setAttribute("aria-valuenow", value.toPrecision(4));
  group.addEventListener("pointerdown", (event) => {
    group.setPointerCapture(event.pointerId);
    event.preventDefault();
    group.focus();
  });
  group.addEventListener("pointermove", (event) => {
    if (group.hasPointerCapture(event.pointerId)) move(x.back(pixelOf(event)), false);
  });
  group.addEventListener("pointerup", () => move(value, true));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 1 / 1.01, ArrowRight: 1.01, PageDown: 1 / 1.1, PageUp: 1.1 }[event.key];
    if (!step) return;
    event.preventDefault();
    move(value * step, true);
  });
  return group;
}

/** A run of values: points [{x, y}] as dots, a line through `smooth` [{x, y}], and horizontal limits [{value, class, label}]. */
export function run(points, smooth, limits, label) {
  const all = [...points.map((point) => point.y), ...limits.map((limit) => limit.value)];
  const [min, max] = [Math.min(...all), Math.max(...all)];
  const room = Math.max((max - min) * 0.08, Math.abs(max) * 0.01, 1e-6); // values that hardly differ are a line, not noise
  const y = scale(min - room, max + room, H - PAD.bottom, PAD.top);
  const x = scale(points[0].x, points[points.length - 1].x || points[0].x + 1, PAD.left, W - PAD.right);
  const path = smooth.map((point, place) => `${place ? "L" : "M"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join("");
  return frame(label, [
    ...ticks(min - room, max + room, 5).map((value) => svg("text", { class: "tick", x: PAD.left - 6, y: y(value) + 4, "text-anchor": "end" }, plain(value))),
    ...limits.map((limit) => svg("g", { class: `limit ${limit.class || ""}` },
      svg("line", { x1: PAD.left, x2: W - PAD.right, y1: y(limit.value), y2: y(limit.value) }))),
    ...points.map((point) => svg("circle", { class: "dot", cx: x(point.x), cy: y(point.y), r: 1.6 })),
    svg("path", { class: "smooth", d: path }),
    ...axisX(x, ticks(points[0].x, points[points.length - 1].x, 6).filter(Number.isInteger), (value) => `#${value}`)]);
}
