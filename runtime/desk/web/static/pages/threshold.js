// Threshold: the scores of a job by label, a threshold to drag, what it would change at once, proposals and versions.

import { histogram } from "../charts.js";
import { fill, h, table, text } from "../dom.js";
import { report } from "../proposal.js";
import { when } from "../words.js";

export const role = "engineer";

const KINDS = [["good", "good"], ["passed", "passed"], ["unsure", "unsure"], ["aside", "aside"], ["defect", "bad"]];
const share = (value) => (value < 0.0995 ? `${(100 * value).toFixed(1)} %` : `${Math.round(100 * value)} %`);

export async function open(root, app) {
  const { t } = app;
  const jobs = await app.api.get("/api/v1/jobs");
  const view = { job: Number(app.place[0]) || jobs[0]?.number, data: null, limit: 0, timer: 0, poll: 0 };
  const job = h("select", { onchange: () => { view.job = Number(job.value); load(); } },
    jobs.map((one) => h("option", { value: one.number, selected: one.number === view.job }, `${one.number}: ${one.name}`)));
  const chart = h("div", { class: "histogram" });
  const legend = h("ul", { class: "legend" }, KINDS.map(([name, kind]) => h("li", {}, h("span", { class: `swatch ${kind}` }), t(`threshold.kind.${name}`))));
  const number = h("input", { type: "number", step: "any", min: "0", "aria-label": t("trace.threshold"), onchange: () => drag("limit", Number(number.value), true, true) });
  const expected = h("p", { class: "expected", role: "status" });
  const counts = h("div");
  const changes = h("div");
  const propose = h("button", { class: "primary", onclick: () => send({ kind: "threshold", threshold: view.limit }) }, t("threshold.propose"));
  const reset = h("button", { onclick: () => drag("limit", view.data.limit, true, true) }, t("threshold.back"));
  const again = h("button", { onclick: teachAgain }, t("threshold.teach"));
  const proposals = h("section", { class: "card", "aria-live": "polite" });
  const versions = h("section", { class: "card" });
  root.append(h("h1", {}, t("page.threshold")),
    h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, t("line.job")), job)),
    h("section", { class: "card" }, chart, legend, h("p", { class: "hint" }, t("threshold.hint"))),
    h("div", { class: "part" },
      h("section", { class: "card" }, h("label", { class: "field" }, h("span", {}, t("trace.threshold")), number), expected, counts,
        h("div", { class: "buttons" }, propose, reset, again)),
      h("section", { class: "card" }, h("h2", {}, t("threshold.changes")), changes)),
    proposals, versions);

  async function load() {
    try {
      view.data = await app.api.get(`/api/v1/threshold?job=${view.job}`);
    } catch (error) {
      fill(chart, h("p", { class: "hint" }, error.message));
      return;
    }
    view.limit = view.data.limit || 1;
    draw();
    drag("limit", view.limit, true);
    showVersions();
    await showProposals();
  }

  function draw() {
    const { bins, warn, limit } = view.data;
    const named = bins.map(([low, high, good, defect, unsure, passed, aside]) => ({ low, high, good, defect, unsure, passed, aside }));
    if (!named.length) return fill(chart, h("p", { class: "hint" }, t("threshold.nothing")));
    const lines = [{ name: "now", value: limit, class: "now", label: t("threshold.now"), fixed: true },
      { name: "warn", value: warn, class: "warn", label: t("threshold.warn"), fixed: true },
      { name: "limit", value: view.limit, label: t("threshold.new") }];
    fill(chart, histogram(named, KINDS, lines, t("threshold.chart"), drag));
  }

  function drag(name, value, done, redraw = false) {
    if (!(value > 0)) return;
    view.limit = value;
    number.value = value.toPrecision(4);
    const moved = Math.abs(value / view.data.limit - 1) > 1e-4;
    propose.disabled = reset.disabled = !moved;
    showCounts();
    if (redraw && done) draw();
    clearTimeout(view.timer);
    view.timer = setTimeout(effect, done ? 0 : 150);
  }

  function showCounts() {
    const found = Object.fromEntries(KINDS.map(([kind]) => [kind, [0, 0]]));
    for (const [, score, kind] of view.data.scores) found[kind][score <= view.limit ? 0 : 1] += 1;
    fill(counts, table([t("threshold.kind"), t("threshold.pass"), t("threshold.fail")],
      KINDS.map(([kind]) => [t(`threshold.kind.${kind}`), found[kind][0], found[kind][1]]), { class: "numbers" }));
  }

  async function effect() {
    let found;
    try {
      found = await app.api.get(`/api/v1/threshold/effect?job=${view.job}&threshold=${view.limit}`);
    } catch (error) {
      return app.fail(error);
    }
    const rejects = found.rejects;
    text(expected, !rejects ? t("threshold.no.evidence") : t(rejects.counted ? "threshold.expected" : "threshold.assumed", {
      share: share(rejects.share), low: share(rejects.low), high: share(rejects.high), n: found.good_parts }) +
      (found.unlabelled ? ` ${t("threshold.unlabelled", { n: found.unlabelled })}` : ""));
    const escapes = found.escapes.length ? h("p", { class: "wrong" }, t("threshold.escapes", { n: found.escapes.length })) : null;
    fill(changes, escapes, found.changes.length
      ? table([t("trace.id"), t("trace.label"), t("threshold.then"), t("trace.score")], found.changes.map(([id, label, score, passes]) =>
        [h("a", { href: `#/trace/${id}` }, `#${id}`), t(`label.${label}`), t(passes ? "threshold.would.pass" : "threshold.would.fail"), score.toFixed(3)]))
      : h("p", { class: "hint" }, t("threshold.no.changes")));
  }

  async function send(wanted) {
    try {
      await app.api.post("/api/v1/proposals", { job: view.job, ...wanted });
      await showProposals();
    } catch (error) {
      app.fail(error);
    }
  }

  /** Teach again with the parts that did not pass and are labelled good: those from which something is to be learnt. */
  async function teachAgain() {
    const found = await app.api.get(`/api/v1/review?job=${view.job}&labelled=1&limit=200`);
    const good = found.parts.filter((part) => part.label === "good" && part.input).slice(0, 4);
    if (!good.length) return app.fail(new Error(t("threshold.none.good")));
    await send({ kind: "teach", parts: good.map((part) => part.id) });
  }

  async function showProposals() {
    clearTimeout(view.poll);
    try {
      const all = (await app.api.get("/api/v1/proposals")).filter((one) => one.wanted.job === view.job).slice(0, 5);
      fill(proposals, h("h2", {}, t("proposal.title")), all.length ? all.map((one, place) => report(app, one, changed, place > 0)) : h("p", { class: "hint" }, t("proposal.none")));
      if (all.some((one) => one.state === "working")) view.poll = setTimeout(showProposals, 700);
    } catch (error) {
      app.fail(error);
    }
  }

  async function changed(approved) {
    if (approved) app.say(t("proposal.installed"));
    await (approved ? load() : showProposals());
  }

  function showVersions() {
    fill(versions, h("h2", {}, t("threshold.versions")), table(
      [t("trace.version"), t("trace.threshold"), t("threshold.method"), t("threshold.since"), t("trace.by"), t("trace.note"), ""],
      view.data.versions.map((one) => [`${one.id} (${one.hash.slice(0, 6)})`, one.threshold?.toFixed(3) ?? "", t(`method.${one.method}`), when(one.made_at), one.by || "", one.note || "",
        one.active ? h("span", { class: "badge good" }, t("job.active")) : h("button", { onclick: (event) => restore(event.target, one) }, t("threshold.restore"))])));
  }

  async function restore(button, version) {
    button.disabled = true;
    try {
      await app.api.post(`/api/v1/versions/${version.id}/restore`, { job: view.job });
      app.say(t("proposal.installed"));
      setTimeout(load, 800); // the line takes it up between two parts
    } catch (error) {
      button.disabled = false;
      app.fail(error);
    }
  }

  if (view.job) await load();
  return () => {
    clearTimeout(view.timer);
    clearTimeout(view.poll);
  };
}
