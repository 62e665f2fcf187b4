// Trace: parts found by what is known of them, one part whole, a range judged again.

import { fill, h, table, text } from "../dom.js";
import { drawPart, loadInput, loadMap } from "../picture.js";
import { percent, tone, when } from "../words.js";

export const role = "viewer";

const VERDICTS = ["", "rejects", "PASS", "REJECT", "REVIEW", "NOT_JUDGED", "LATE", "NO_PART", "MISSED"];
const LABELS = ["", "good", "defect", "unsure", "none", "any"];
let kept = {}; // the last search, found again after one part was looked at

export function open(root, app) {
  if (app.place[0] === "again" && app.may("engineer")) return again(root, app);
  if (/^\d+$/.test(app.place[0] || "")) return one(root, app, app.place[0]);
  return search(root, app);
}

const field = (name, input) => h("label", { class: "field" }, h("span", {}, name), input);
const choice = (name, values, words) => h("select", { name }, values.map((value) => h("option", { value, selected: kept[name] === value }, words(value))));
const badge = (part, t) => h("span", { class: `badge ${tone(part)}` }, t(`verdict.${part.shown}`));
const seconds = (value) => (value ? Math.floor(new Date(value).getTime() / 1000) : "");

async function search(root, app) {
  const { t } = app;
  const input = (name, type, more = {}) => h("input", { name, type, value: kept[name] || "", ...more });
  const form = h("form", { class: "card row", role: "search", onsubmit: (event) => { event.preventDefault(); find(); } },
    field(t("trace.serial"), input("serial", "search", { maxlength: "64" })),
    field(t("trace.part_id"), input("part_id", "text", { inputmode: "numeric", pattern: "[0-9]*" })),
    field(t("trace.verdict"), choice("verdict", VERDICTS, (value) => t(value ? `verdict.${value}` : "any"))),
    field(t("trace.label"), choice("label", LABELS, (value) => t(value ? `label.${value}` : "any"))),
    field(t("trace.since"), input("since", "datetime-local")),
    field(t("trace.until"), input("until", "datetime-local")),
    h("button", { class: "primary", type: "submit" }, t("trace.search")),
    app.may("engineer") && h("a", { class: "button", href: "#/trace/again" }, t("again.title")));
  const found = h("section", { class: "card", "aria-live": "polite" });
  root.append(h("h1", {}, t("page.trace")), form, h("p"), found);

  async function find(before) {
    kept = Object.fromEntries(new FormData(form));
    const asked = new URLSearchParams({ limit: "50" });
    for (const [name, value] of Object.entries({ ...kept, since: seconds(kept.since), until: seconds(kept.until), before: before || "" }))
      if (value !== "") asked.set(name, value);
    try {
      const { parts, more } = await app.api.get(`/api/v1/parts?${asked}`);
      const rows = parts.map((part) => [
        h("a", { href: `#/trace/${part.id}` }, `#${part.id}`), badge(part, t), part.serial || part.part_id || "", when(part.wall), percent(part),
        part.label ? t(`label.${part.label}`) : "", part.job ?? ""]);
      fill(found,
        parts.length ? table(["trace.id", "trace.verdict", "trace.serial", "trace.when", "trace.percent", "trace.label", "line.job"].map((key) => t(key)), rows) : h("p", {}, t("trace.nothing")),
        h("div", { class: "buttons" },
          before && h("button", { onclick: () => find() }, t("trace.newest")),
          more && h("button", { onclick: () => find(parts[parts.length - 1].id) }, t("trace.older"))));
    } catch (error) {
      app.fail(error);
    }
  }
  await find();
}

async function one(root, app, id) {
  const { t } = app;
  const { part, version, labels, map: hasMap } = await app.api.get(`/api/v1/parts/${id}`);
  const canvas = h("canvas", { width: "448", height: "448", role: "img", "aria-label": t("trace.input") });
  const heat = h("button", { "aria-pressed": "true", disabled: !hasMap, onclick: () => draw(heat.getAttribute("aria-pressed") !== "true") }, t("line.heat"));
  const pairs = [
    ["trace.verdict", badge(part, t)], ["trace.judged", t(`verdict.${part.verdict}`)], ["trace.output", t(`verdict.${part.output}`)], ["trace.reason", part.reason || part.error],
    ["trace.serial", part.serial], ["trace.part_id", part.part_id || ""], ["trace.when", when(part.wall) + (part.clock_ok ? "" : ` (${t("trace.clock")})`)],
    ["line.job", part.job ?? ""], ["trace.score", part.score === null ? "" : `${part.score.toFixed(4)} = ${percent(part)}`],
    ["trace.threshold", part.threshold === null ? "" : part.threshold.toFixed(4)], ["trace.ms", part.ms_total === null ? "" : `${part.ms_total.toFixed(1)} ms`],
    ["trace.ms_judge", part.ms_judge === null ? "" : `${part.ms_judge.toFixed(1)} ms`], ["trace.spot", part.spot_x === null ? "" : `${part.spot_x}, ${part.spot_y}`],
    ["trace.mean", part.mean === null ? "" : part.mean.toFixed(1)], ["trace.sharp", part.sharp === null ? "" : part.sharp.toFixed(1)],
    ["trace.trigger", part.trigger], ["trace.boot", `${part.boot} / ${part.seq}`], ["trace.frame", part.frame_id ?? ""],
    ["trace.version", version ? `${version.id} (${version.hash.slice(0, 8)})` : ""],
    ["trace.flags", [part.late && "late", part.shadow && "shadow", part.simulated && "simulated"].filter(Boolean).map((flag) => t(`trace.${flag}`)).join(", ")],
  ].filter(([, value]) => value !== "" && value !== null);
  root.append(
    h("p", {}, h("a", { href: "#/trace" }, t("trace.back"))),
    h("h1", {}, t("trace.one", { id })),
    h("div", { class: "part" },
      h("section", { class: "card shown" }, canvas, h("div", { class: "buttons" }, heat,
        part.full && h("a", { class: "button", href: `/api/v1/parts/${id}/full`, target: "_blank", rel: "noopener" }, t("trace.full")),
        app.may("operator") && part.input && h("a", { class: "button", href: `/api/v1/parts/${id}/zip`, download: `part-${id}.zip` }, t("trace.zip")))),
      h("section", { class: "card" }, h("dl", {}, pairs.map(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)]))),
      labels.length > 0 && h("section", { class: "card wide" }, h("h2", {}, t("trace.labels")),
        table([t("trace.label"), t("trace.by"), t("trace.when"), t("trace.note")], labels.map((label) => [t(`label.${label.value}`), label.by, when(label.at), label.note])))));
  const [image, map] = await Promise.all([part.input ? loadInput(id) : null, hasMap ? loadMap(app.api, id) : null]);
  function draw(on) {
    heat.setAttribute("aria-pressed", String(on));
    drawPart(canvas, part, image, map, on);
  }
  draw(hasMap);
}

async function again(root, app) {
  const { t } = app;
  const versions = await app.api.get("/api/v1/versions");
  const number = (name, more = {}) => h("input", { name, type: "number", min: "1", step: "1", ...more });
  const form = h("form", { class: "card row", onsubmit: begin },
    field(t("again.from"), number("from_id", { value: "1" })),
    field(t("again.to"), number("to_id")),
    field(t("again.threshold"), h("input", { name: "threshold", type: "number", min: "0", step: "any" })),
    field(t("again.version"), h("select", { name: "version" }, h("option", { value: "" }, t("again.stored")),
      versions.filter((one) => one.sha256).map((one) => h("option", { value: one.id }, `${one.id}: ${t("line.job")} ${one.job ?? "-"}, ${when(one.made_at)}`)))),
    h("button", { class: "primary", type: "submit" }, t("again.begin")));
  const result = h("p", { role: "status" });
  const changes = h("div");
  root.append(h("p", {}, h("a", { href: "#/trace" }, t("trace.back"))), h("h1", {}, t("again.title")), h("p", { class: "hint" }, t("again.hint")), form, h("p"),
    h("section", { class: "card" }, result, changes));
  let timer = 0;

  async function begin(event) {
    event.preventDefault();
    const given = [...new FormData(form)].filter(([, value]) => value !== "").map(([name, value]) => [name, Number(value)]);
    try {
      await app.api.post("/api/v1/rejudge", Object.fromEntries(given));
      look();
    } catch (error) {
      app.fail(error);
    }
  }

  async function look() {
    clearTimeout(timer);
    let found;
    try {
      found = await app.api.get("/api/v1/rejudge");
    } catch (error) {
      return app.fail(error);
    }
    if (found.running) timer = setTimeout(look, 500);
    text(result, found.error || (found.running ? t("again.running", { n: found.changed }) : found.result ? t("again.done", found.result) : t("again.none")));
    fill(changes, found.changes.length > 0 && table([t("trace.id"), t("again.before"), t("again.after"), t("trace.score")],
      found.changes.map((one) => [h("a", { href: `#/trace/${one.part}` }, `#${one.part}`), t(`verdict.${one.before}`), t(`verdict.${one.after}`), one.score === null ? "" : one.score.toFixed(4)])));
  }
  await look();
  return () => clearTimeout(timer);
}
