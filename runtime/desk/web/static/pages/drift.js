// Drift: whether scores, light, focus and the rate of rejects are where they were, and the likely cause if not.

import { run } from "../charts.js";
import { fill, h } from "../dom.js";

export const role = "engineer";

const EVERY = 3000; // ms

export async function open(root, app) {
  const { t } = app;
  const jobs = await app.api.get("/api/v1/jobs");
  const view = { job: jobs[0]?.number, timer: 0, key: "" };
  const job = h("select", { onchange: () => { view.job = Number(job.value); view.key = ""; look(); } },
    jobs.map((one) => h("option", { value: one.number }, `${one.number}: ${one.name}`)));
  const finding = h("div", { class: "alarms", role: "alert" });
  const charts = h("div", { class: "charts" });
  root.append(h("h1", {}, t("page.drift")), h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, t("line.job")), job)), finding, charts,
    h("p", { class: "hint" }, t("drift.hint")));

  function card(chart) {
    const name = t(`drift.${chart.name}`);
    const said = !chart.reference ? t("drift.learning", { n: chart.learnt, of: chart.needed }) : t(`drift.moved.${chart.moved}`);
    const body = chart.points.length < 2 ? h("p", { class: "hint" }, t("drift.nothing")) : run(
      chart.points.map(([id, value]) => ({ x: id, y: value })), chart.points.filter(([, , ewma]) => ewma !== null).map(([id, , ewma]) => ({ x: id, y: ewma })),
      chart.reference ? [{ value: chart.reference.mean, class: "mean" }, { value: chart.low, class: "edge" }, { value: chart.high, class: "edge" }] : [], `${name}: ${said}`);
    return h("section", { class: "card" }, h("h2", {}, name, " ", h("span", { class: `badge ${chart.moved ? "bad" : chart.reference ? "good" : ""}` }, said)), body);
  }

  async function look() {
    clearTimeout(view.timer);
    try {
      const found = await app.api.get(`/api/v1/drift?job=${view.job}`);
      const key = JSON.stringify([found.parts, found.finding]);
      if (key !== view.key) {
        view.key = key;
        const one = found.finding;
        fill(finding, one && h("div", { class: "alarm" }, h("strong", {}, t(`drift.cause.${one.cause}`)), h("span", {}, `${one.text}. ${t("drift.do", { remedy: one.remedy })}`),
          h("a", { class: "button", href: `#/trace/${one.since}` }, t("drift.since", { id: one.since }))));
        const rejects = found.rejects && h("section", { class: "card counts" }, count(`${(100 * found.rejects.now).toFixed(1)} %`, t("drift.rejects", { n: found.rejects.window })),
          count(`${(100 * found.rejects.usual).toFixed(0)} %`, t("drift.usual")), count(found.parts, t("drift.parts")));
        fill(charts, found.charts.map(card), rejects || h("p", { class: "hint" }, t("drift.nothing")));
      }
    } catch (error) {
      app.fail(error);
    }
    view.timer = setTimeout(look, EVERY);
  }
  const count = (value, name) => h("div", { class: "count" }, h("b", {}, value), h("span", {}, name));
  if (view.job) await look();
  return () => clearTimeout(view.timer);
}
