// Teach: the live picture with the region to look at, meters for light and focus, photos, and a proposal of them: for a
// job that is there, or for one that is new.

import { fill, h, text } from "../dom.js";
import { live } from "../live.js";
import { report } from "../proposal.js";

export const role = "engineer";

const EVERY = 400; // ms between looks at the meters

export async function open(root, app) {
  const { t } = app;
  const jobs = await app.api.get("/api/v1/jobs");
  const view = { roi: null, width: 0, height: 0, best: 0, drag: null, ended: false, timer: 0, poll: 0, proposal: null, photos: [], usual: {} };
  const job = h("select", { onchange: choose }, jobs.map((one) => h("option", { value: one.number }, `${one.number}: ${one.name}`)),
    h("option", { value: 0 }, t("teach.new")));
  const number = h("input", { type: "number", min: "1", max: "65535", required: true, value: String(Math.max(0, ...jobs.map((one) => one.number)) + 1) });
  const name = h("input", { type: "text", maxlength: "200", required: true });
  const fresh = h("div", { class: "row", hidden: true }, h("label", { class: "field" }, h("span", {}, t("teach.number")), number),
    h("label", { class: "field" }, h("span", {}, t("teach.name")), name));
  const deadline = h("input", { type: "number", min: "1", max: "600000", step: "1" });
  const every = h("input", { type: "number", min: "0.1", max: "10000", step: "any", placeholder: t("teach.never") });
  const own = h("div", { class: "row", hidden: true }, h("label", { class: "field" }, h("span", {}, t("teach.deadline")), deadline),
    h("label", { class: "field" }, h("span", {}, t("teach.every")), every));
  const canvas = h("canvas", { width: "640", height: "480", role: "img", "aria-label": t("teach.live") });
  const box = h("div", { class: "roi", hidden: true });
  const stage = h("div", { class: "stage" }, canvas, box);
  const age = h("span", { class: "age" });
  const whole = h("button", { onclick: () => { view.roi = null; view.best = 0; showRoi(); } }, t("teach.whole"));
  const trigger = app.me.trigger && h("button", { onclick: () => app.api.post("/api/v1/command/trigger").catch(app.fail) }, t("teach.trigger"));
  const light = meter("teach.light");
  const focus = meter("teach.focus");
  const advice = h("p", { role: "status", class: "advice" });
  const take = h("button", { class: "primary", onclick: shoot }, t("teach.take"), h("kbd", {}, "T"));
  const clear = h("button", { onclick: () => change(app.api.remove("/api/v1/teach/photos")) }, t("teach.clear"));
  const photos = h("ul", { class: "strip", "aria-label": t("teach.photos") });
  const warnings = h("ul", { class: "warnings" });
  const note = h("input", { type: "text", maxlength: "200", placeholder: t("teach.note") });
  const learn = h("button", { class: "primary", onclick: begin }, t("teach.learn"));
  const result = h("section", { class: "card", hidden: true, "aria-live": "polite" });
  root.append(h("h1", {}, t("page.teach")), h("p", { class: "hint" }, t("teach.hint")),
    h("div", { class: "part teach" },
      h("section", { class: "card shown" }, stage, h("div", { class: "row" }, age, h("div", { class: "buttons" }, trigger, whole))),
      h("section", { class: "card" }, h("label", { class: "field" }, h("span", {}, t("line.job")), job), fresh, own, light.root, focus.root, advice,
        h("div", { class: "buttons" }, take, clear), photos, warnings,
        h("label", { class: "field" }, h("span", {}, t("trace.note")), note), h("div", { class: "buttons" }, learn))),
    result);

  function meter(name) {
    const bar = h("div");
    bar.style.width = "0";
    const value = h("span");
    return { root: h("div", {}, h("div", { class: "row meter-name" }, h("span", {}, t(name)), value), h("div", { class: "meter", "aria-hidden": "true" }, bar)), set(part, said) { bar.style.width = `${Math.round(100 * Math.min(1, part))}%`; text(value, said); } };
  }

  // The region: drawn in the canvas' pixels, kept in the camera's.
  const scaleOf = () => (view.width ? canvas.width / view.width : 1);
  function at(event) {
    const area = canvas.getBoundingClientRect();
    const clamp = (value) => Math.min(1, Math.max(0, value));
    return [clamp((event.clientX - area.left) / area.width) * view.width, clamp((event.clientY - area.top) / area.height) * view.height];
  }
  stage.addEventListener("pointerdown", (event) => {
    if (!view.width) return;
    stage.setPointerCapture(event.pointerId);
    view.drag = at(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!view.drag) return;
    const [x, y] = at(event);
    const [left, top] = [Math.min(x, view.drag[0]), Math.min(y, view.drag[1])].map(Math.round);
    view.roi = [left, top, Math.round(Math.abs(x - view.drag[0])), Math.round(Math.abs(y - view.drag[1]))];
    showRoi();
  });
  stage.addEventListener("pointerup", () => {
    if (view.drag && view.roi && (view.roi[2] < 16 || view.roi[3] < 16)) view.roi = null;
    view.drag = null;
    view.best = 0;
    showRoi();
  });

  function showRoi() {
    box.hidden = !view.roi;
    whole.disabled = !view.roi;
    if (!view.roi || !view.width) return;
    const [x, y, width, height] = view.roi;
    const part = (value, of) => `${(100 * value) / of}%`;
    Object.assign(box.style, { left: part(x, view.width), top: part(y, view.height), width: part(width, view.width), height: part(height, view.height) });
  }

  async function measure() {
    if (view.ended) return;
    try {
      const found = await app.api.post("/api/v1/teach/meter", { job: Number(job.value), roi: view.drag ? null : view.roi });
      [view.width, view.height] = [found.width, found.height];
      view.best = Math.max(view.best, found.focus);
      light.set(found.brightness / 255, t("teach.grey", { n: found.brightness.toFixed(0) }));
      focus.set(view.best ? found.focus / view.best : 0, t("teach.of.best", { n: view.best ? Math.round((100 * found.focus) / view.best) : 0 }));
      text(advice, found.white > 0.02 ? t("teach.white", { n: Math.round(100 * found.white) }) : found.brightness < 40 ? t("teach.dark") : found.focus < 0.7 * view.best ? t("teach.blurred") : t("teach.well"));
      advice.classList.toggle("wrong", found.white > 0.02 || found.brightness < 40 || found.focus < 0.7 * view.best);
      showRoi();
    } catch (error) {
      text(advice, error.message);
    }
    view.timer = setTimeout(measure, EVERY);
  }

  async function shoot() {
    take.disabled = true;
    await change(app.api.post("/api/v1/teach/photos", { job: Number(job.value), roi: view.roi }));
    take.disabled = false;
  }

  async function change(request) {
    try {
      showPhotos(await request);
    } catch (error) {
      app.fail(error);
    }
  }

  function showPhotos(found) {
    view.photos = found.photos;
    fill(photos, found.photos.map((number) => h("li", {}, h("span", { class: "thumb" },
      h("img", { src: `/api/v1/teach/photos/${number}?${found.roi ? found.roi.join("-") : ""}`, alt: t("teach.photo", { n: number }) }),
      h("button", { class: "quiet", "aria-label": t("teach.remove", { n: number }), onclick: () => change(app.api.remove(`/api/v1/teach/photos/${number}`)) }, "×")))));
    fill(warnings, found.warnings.map((warning) => h("li", {}, warning)));
    learn.disabled = found.photos.length < 2;
    clear.disabled = found.photos.length === 0;
    text(learn, found.photos.length < 2 ? t("teach.more") : t("teach.learn", { n: found.photos.length }));
  }

  function choose() {
    const wanted = Number(job.value) === 0;
    const { settings } = wanted ? { settings: { deadline_ms: null, challenge_every_h: view.usual.challenge_every_h } } : jobs.find((one) => one.number === Number(job.value)) || {};
    fresh.hidden = !wanted;
    own.hidden = !settings; // those of a job in station.toml are set there
    if (settings) [deadline.value, every.value] = [settings.deadline_ms ?? "", settings.challenge_every_h ?? ""];
    view.best = 0;
    if (wanted) name.focus();
  }

  /** The deadline and the challenges that are asked for; an empty field is the station's deadline, and no challenge. */
  const asked = () => ({ deadline_ms: deadline.value ? Number(deadline.value) : null, challenge_every_h: every.value ? Number(every.value) : null });

  async function begin() {
    const wanted = Number(job.value) === 0;
    if (wanted && !(number.reportValidity() && name.reportValidity())) return;
    if (!own.hidden && !(deadline.reportValidity() && every.reportValidity())) return;
    learn.disabled = true;
    try {
      const part = wanted ? { job: Number(number.value), name: name.value } : { job: Number(job.value) };
      if (!own.hidden) part.settings = asked();
      show(await app.api.post("/api/v1/teach/learn", { ...part, note: note.value }));
    } catch (error) {
      app.fail(error);
    }
    learn.disabled = view.photos.length < 2;
  }

  async function show(proposal) {
    clearTimeout(view.poll);
    view.proposal = proposal;
    result.hidden = false;
    fill(result, report(app, proposal, again));
    if (proposal.state === "working") view.poll = setTimeout(again, 500);
  }

  async function again(approved) {
    const { wanted } = view.proposal;
    const known = jobs.find((one) => one.number === wanted.job);
    if (approved === true && known && wanted.settings) known.settings = wanted.settings;
    if (approved === true && wanted.name) added(wanted);
    else if (approved === true) app.say(t("proposal.installed"));
    try {
      await show(await app.api.get(`/api/v1/proposals/${view.proposal.id}`));
    } catch (error) {
      app.fail(error);
    }
  }

  function added(wanted) {
    jobs.push({ number: wanted.job, name: wanted.name, settings: wanted.settings });
    job.insertBefore(h("option", { value: wanted.job }, `${wanted.job}: ${wanted.name}`), job.lastChild);
    job.value = String(wanted.job);
    choose();
    app.say(t("proposal.added", { number: wanted.job }));
  }

  function onKey(event) {
    if (event.key.toLowerCase() !== "t" || event.ctrlKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    if (!take.disabled) shoot();
  }

  window.addEventListener("keydown", onKey);
  const stop = live(app.api, canvas, (seconds) => text(age, seconds === null ? t("line.no.picture") : t("line.part.age", { age: `${seconds.toFixed(0)} s` })));
  const state = await app.api.get("/api/v1/teach");
  view.usual = state.new;
  deadline.placeholder = t("teach.usual", { n: view.usual.deadline_ms });
  showPhotos(state);
  choose();
  measure();
  return () => {
    view.ended = true;
    clearTimeout(view.timer);
    clearTimeout(view.poll);
    window.removeEventListener("keydown", onKey);
    stop();
  };
}
