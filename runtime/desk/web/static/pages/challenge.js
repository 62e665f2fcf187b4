// Challenge: a known good and a known bad part, shown one after the other, and what came of it before.

import { fill, h, table, text } from "../dom.js";
import { shape, when } from "../words.js";

export const role = "operator";

const STEPS = ["good", "bad"];

export async function open(root, app) {
  const { t } = app;
  const steps = h("ol", { class: "steps" });
  const what = h("p", { class: "what", role: "status" });
  const begin = h("button", { class: "primary", onclick: () => ask("begin", { hold_id: view.hold }) }, t("challenge.begin"));
  const cancel = h("button", { onclick: () => ask("cancel") }, t("challenge.cancel"));
  const release = app.may("engineer") && h("button", { onclick: () => ask("release", { job: view.held, hold_id: view.hold }) }, t("challenge.release"));
  const history = h("div");
  const now = h("section", { class: "card challenge" }, steps, what, h("div", { class: "buttons" }, begin, cancel, release));
  root.append(h("h1", {}, t("page.challenge")), h("p", { class: "hint" }, t("challenge.hint")), now,
    h("section", { class: "card" }, h("h2", {}, t("challenge.history")), history));
  let key = "";
  let timer = 0;
  let last = null;
  const view = { held: null, hold: null };

  async function ask(name, body = {}) {
    try {
      show(await app.api.post(`/api/v1/challenge/${name}`, body));
    } catch (error) {
      app.fail(error);
    }
  }

  function show(found) {
    const now_ = JSON.stringify(found);
    if (now_ === key) return;
    key = now_;
    const failed = last && ["good", "bad"].includes(last) && found.step === "failed" ? last : "";
    const passed = found.step === "clear" && last === "bad";
    last = found.step;
    const state = (step, place) => found.step === step ? "now" : failed === step ? "bad" : found.step === "bad" && place === 0 ? "good" : passed || (failed === "bad" && place === 0) ? "good" : "";
    fill(steps, STEPS.map((step, place) => h("li", { class: state(step, place), "aria-current": found.step === step ? "step" : null },
      shape({ good: "good", bad: "bad", now: "warn" }[state(step, place)] || ""), h("span", {}, t(`challenge.show.${step}`)))));
    const left = found.left === null ? "" : ` ${t("challenge.left", { n: (found.left / 3600).toFixed(1) })}`;
    const said = { clear: t(passed ? "challenge.passed" : "challenge.clear") + left, none: t(found.job ? "challenge.none" : "challenge.no.job", { job: found.job }), good: t("challenge.now.good"), bad: t("challenge.now.bad") };
    text(what, found.hint || (found.hold && !STEPS.includes(found.step) ? found.hold : said[found.step]));
    what.classList.toggle("wrong", ["due", "failed"].includes(found.step) || Boolean(found.hold));
    begin.disabled = !["due", "clear", "none"].includes(found.step) || !found.job;
    cancel.disabled = !STEPS.includes(found.step);
    [view.held, view.hold] = [found.held, found.hold_id]; // what is released is what is shown
    if (release) release.disabled = found.hold_id === null;
    fill(history, found.history.length ? table([t("trace.when"), t("line.job"), t("challenge.expected"), t("challenge.result"), t("trace.by"), t("trace.id")],
      found.history.map((one) => [when(one.at), one.job, t(`verdict.${one.expected}`), h("span", { class: `badge ${one.ok ? "good" : "bad"}` }, t(one.ok ? "challenge.ok" : "challenge.failed")), one.by,
        one.inspection ? h("a", { href: `#/trace/${one.inspection}` }, `#${one.inspection}`) : ""])) : h("p", { class: "hint" }, t("challenge.no.history")));
  }

  async function look() {
    try {
      show(await app.api.get("/api/v1/challenge"));
    } catch (error) {
      app.fail(error);
    }
    timer = setTimeout(look, 500);
  }
  await look();
  return () => clearTimeout(timer);
}
