// Review: parts that did not pass, one after the other; one key says what each is in truth.

import { fill, h, text } from "../dom.js";
import { drawPart, loadInput, loadMap } from "../picture.js";
import { percent, tone, when } from "../words.js";

export const role = "operator";

const KEYS = { g: "good", d: "defect", u: "unsure" };
const FLICKER = 600; // ms of each picture

export async function open(root, app) {
  const { t } = app;
  const view = { parts: [], place: 0, heat: true, image: null, map: null, nearest: null, flicker: 0, turn: 0, order: "threshold", labelled: false, busy: false };
  const canvas = h("canvas", { width: "448", height: "448", role: "img", "aria-label": t("line.picture") });
  const caption = h("p", { class: "caption", role: "status" });
  const facts = h("dl");
  const place = h("p", { class: "hint" });
  const list = h("ul", { class: "strip", "aria-label": t("review.queue") });
  const heat = toggle("line.heat", () => { view.heat = !view.heat; show(); });
  const flicker = toggle("review.flicker", () => setFlicker(!view.flicker));
  const buttons = Object.entries(KEYS).map(([key, value]) =>
    h("button", { class: `label ${value}`, "data-label": value, "aria-keyshortcuts": key, onclick: () => say(value) }, t(`label.${value}`), h("kbd", {}, key.toUpperCase())));
  const next = h("button", { onclick: () => go(view.place + 1) }, t("review.next"), h("kbd", {}, t("review.space")));
  const order = h("select", { onchange: () => { view.order = order.value; load(); } },
    ["threshold", "newest"].map((value) => h("option", { value }, t(`review.${value}`))));
  const labelled = h("input", { type: "checkbox", onchange: () => { view.labelled = labelled.checked; load(); } });
  const same = h("button", { onclick: sayAll }, "");
  const card = h("div", { class: "part review-part" },
    h("section", { class: "card shown" }, canvas, caption, h("div", { class: "buttons" }, heat, flicker)),
    h("section", { class: "card" }, place, h("div", { class: "labels" }, buttons), h("div", { class: "buttons" }, next, same), facts));
  root.append(h("h1", {}, t("page.review")),
    h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, t("review.order")), order), h("label", { class: "check" }, labelled, t("review.labelled"))),
    card, list);

  function toggle(name, onclick) {
    return h("button", { "aria-pressed": "false", onclick }, t(name));
  }

  async function load() {
    try {
      const found = await app.api.get(`/api/v1/review?order=${view.order}&labelled=${view.labelled ? 1 : 0}`);
      view.parts = found.parts;
      view.more = found.more;
      await go(0);
    } catch (error) {
      app.fail(error);
    }
  }

  async function go(to) {
    if (to >= view.parts.length && view.more) return load();
    view.place = Math.max(0, Math.min(to, view.parts.length - 1));
    const mine = ++view.turn;
    setFlicker(false);
    const part = view.parts[view.place];
    card.hidden = !part;
    showList();
    if (!part) return text(place, "");
    Object.assign(view, { image: null, map: null, nearest: null });
    showFacts(part);
    const [image, map] = await Promise.all([part.input ? loadInput(part.id) : null, loadMap(app.api, part.id)]);
    if (mine !== view.turn) return;
    Object.assign(view, { image, map });
    flicker.disabled = !image;
    show();
  }

  function show() {
    const part = view.parts[view.place];
    if (!part) return;
    heat.setAttribute("aria-pressed", String(view.heat));
    drawPart(canvas, part, view.image, view.map, view.heat);
    text(caption, view.image ? t("review.this", { id: part.id }) : t("review.no.picture"));
  }

  async function setFlicker(on) {
    clearInterval(view.flicker);
    view.flicker = 0;
    flicker.setAttribute("aria-pressed", String(on));
    if (!on) return show();
    const part = view.parts[view.place];
    try {
      view.nearest = view.nearest || (await nearest(part.id));
    } catch (error) {
      flicker.setAttribute("aria-pressed", "false");
      return app.fail(error);
    }
    let other = false;
    const turn = () => {
      other = !other;
      if (!other) {
        drawPart(canvas, part, view.image, view.map, false);
        text(caption, t("review.this", { id: part.id }));
      } else {
        canvas.getContext("2d").drawImage(view.nearest.image, 0, 0, canvas.width, canvas.height);
        text(caption, view.nearest.name);
      }
    };
    turn();
    view.flicker = setInterval(turn, FLICKER);
  }

  async function nearest(id) {
    const response = await app.api.raw(`/api/v1/parts/${id}/nearest`);
    const image = await createImageBitmap(await response.blob());
    const taught = response.headers.get("x-regad-taught") === "1";
    return { image, name: t(taught ? "review.taught" : "review.good", { name: response.headers.get("x-regad-name") }) };
  }

  async function say(value) {
    const part = view.parts[view.place];
    if (!part || view.busy) return;
    view.busy = true;
    try {
      await app.api.post(`/api/v1/labels/${part.id}`, { value });
      part.label = value;
      app.say(t("review.said", { id: part.id, label: t(`label.${value}`) }));
      await go(view.place + 1 < view.parts.length ? view.place + 1 : view.more ? view.parts.length : view.place);
    } catch (error) {
      app.fail(error);
    } finally {
      view.busy = false;
    }
  }

  /** The parts that follow this one, equally near the threshold and without a label: the same fault, or the same lot. */
  function alike() {
    const part = view.parts[view.place];
    if (!part || part.score === null) return [];
    return view.parts.filter((one) => !one.label && one.verdict === part.verdict && one.job === part.job && one.score !== null && Math.abs(one.score / part.score - 1) < 0.02);
  }

  async function sayAll() {
    const parts = alike();
    if (same.dataset.sure !== "yes") {
      same.dataset.sure = "yes";
      return text(same, t("review.all.sure", { n: parts.length }));
    }
    try {
      await app.api.post("/api/v1/labels", { value: "good", parts: parts.map((part) => part.id) });
      for (const part of parts) part.label = "good";
      await load();
    } catch (error) {
      app.fail(error);
    }
  }

  function showFacts(part) {
    text(place, t("review.place", { n: view.place + 1, of: view.parts.length + (view.more ? "+" : "") }));
    const parts = alike();
    same.hidden = parts.length < 2;
    same.dataset.sure = "";
    text(same, t("review.all", { n: parts.length }));
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.label === part.label));
    const pairs = [["trace.verdict", h("span", { class: `badge ${tone(part)}` }, t(`verdict.${part.shown}`))], ["trace.percent", percent(part)],
      ["trace.serial", part.serial || part.part_id], ["trace.when", when(part.wall)], ["line.job", part.job], ["trace.label", part.label ? t(`label.${part.label}`) : ""],
      ["trace.id", h("a", { href: `#/trace/${part.id}` }, `#${part.id}`)]];
    fill(facts, pairs.filter(([, value]) => value || value === 0).map(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)]).flat());
  }

  function showList() {
    fill(list, view.parts.length ? view.parts.map((part, number) => h("li", {},
      h("button", { class: `thumb ${part.label || tone(part)}`, "aria-current": number === view.place ? "true" : null, "aria-label": `#${part.id} ${t(`verdict.${part.shown}`)} ${part.label ? t(`label.${part.label}`) : ""}`, onclick: () => go(number) },
        part.input ? h("img", { src: `/api/v1/parts/${part.id}/input`, alt: "", loading: "lazy" }) : null,
        h("span", {}, part.label ? t(`label.${part.label}`) : percent(part))))) : h("li", { class: "hint" }, t("review.nothing")));
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const key = event.key.toLowerCase();
    if (key in KEYS) say(KEYS[key]);
    else if (key === " " && event.target.tagName !== "BUTTON") go(view.place + 1);
    else if (key === "arrowright") go(view.place + 1);
    else if (key === "arrowleft") go(view.place - 1);
    else if (key === "h") heat.click();
    else if (key === "f") flicker.click();
    else return;
    event.preventDefault();
  }

  window.addEventListener("keydown", onKey);
  await load();
  return () => {
    clearInterval(view.flicker);
    window.removeEventListener("keydown", onKey);
  };
}
