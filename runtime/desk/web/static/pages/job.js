// Job: which kind of part is judged, changed after the part in hand.

import { fill, h } from "../dom.js";

export const role = "operator";

export async function open(root, app) {
  const { t } = app;
  const jobs = await app.api.get("/api/v1/jobs");
  const list = h("div", { class: "grid" });
  root.append(h("h1", {}, t("page.job")), h("p", { class: "hint" }, t("job.hint")), list);
  let asked = null;
  let last = "";

  async function choose(number) {
    if (asked !== number) {
      asked = number;
      last = "";
      show(current);
      return;
    }
    asked = null;
    try {
      await app.api.post("/api/v1/command/job", { number });
      app.say(t("job.asked", { number }));
    } catch (error) {
      app.fail(error);
    }
    last = "";
    show(current);
  }

  let current = 0;
  function show(active) {
    current = active;
    const key = `${active} ${asked}`;
    if (key === last) return;
    last = key;
    fill(list, jobs.map((job) => h("section", { class: "card" },
      h("h2", {}, `${job.number} ${job.name}`),
      job.number === active ? h("p", {}, h("span", { class: "badge good" }, t("job.active")))
        : h("button", { class: asked === job.number ? "primary" : "", onclick: () => choose(job.number) }, t(asked === job.number ? "job.sure" : "job.choose")))));
  }
  return app.onState(({ parts }) => show(parts.station?.online ? parts.station.image.job : 0));
}
