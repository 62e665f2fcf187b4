// How numbers, times and verdicts are written.

import { svg } from "./dom.js";

const time = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export const when = (wall) => (wall ? time.format(wall * 1000) : "");
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
export const onDay = (wall) => day.format(wall * 1000);
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
export const toMinute = (wall) => minute.format(wall * 1000);
export const atTime = (wall) => clock.format(wall * 1000);

/** The score in percent of the threshold: below 100 is good. */
export const percent = (part) =>
  part.score === null || !part.threshold ? "-" : `${Math.round((100 * part.score) / part.threshold)} %`;

export function size(bytes) {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (bytes >= factor) return `${(bytes / factor).toFixed(bytes >= 10 * factor ? 0 : 1)} ${unit}`;
  return `${bytes} B`;
}

export const ago = (seconds, t) =>
  seconds < 60 ? t("age.s", { n: Math.round(seconds) }) : seconds < 3600 ? t("age.min", { n: Math.round(seconds / 60) }) : t("age.h", { n: Math.round(seconds / 3600) });

/** The class of a verdict: its colour. */
export function tone(part) {
  if (!part) return "";
  if (part.good) return "good";
  return ["REVIEW", "LATE", "NOT_JUDGED", "MISSED", "NO_PART"].includes(part.shown) ? "warn" : part.shown === "NONE" ? "" : "bad";
}

/** The shape of a verdict, for who does not see its colour: a disc with a tick, an octagon with a cross, a triangle. */
export function shape(kind) {
  const stroke = { fill: "none", stroke: "#fff", "stroke-width": "7", "stroke-linecap": "round", "stroke-linejoin": "round" };
  const parts = {
    good: [["circle", { cx: "50", cy: "50", r: "42" }], ["path", { d: "m31 52 14 14 25-31" }]],
    bad: [["path", { d: "M32 8h36l24 24v36L68 92H32L8 68V32z" }], ["path", { d: "m36 36 28 28m0-28L36 64" }]],
    warn: [["path", { d: "M50 10 93 86H7z" }], ["path", { d: "M50 38v22m0 13v1" }]],
    "": [["rect", { x: "12", y: "12", width: "76", height: "76", rx: "6" }], ["path", { d: "M34 50h32" }]],
  };
  return svg("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" }, parts[kind].map(([name, more]) => svg(name, { ...stroke, ...more })));
}
