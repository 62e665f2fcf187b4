// Line: what the operator sees. Verdict as colour, word and shape; no settings.

import { fill, h, text } from "../dom.js";
import { live } from "../live.js";
import { drawPart, loadInput, loadMap } from "../picture.js";
import { ago, atTime, percent, shape, toMinute, tone } from "../words.js";

export const role = "viewer";

const OLD = 2; // seconds after which a live picture is grey
const RESETS = ["FROZEN", "PICTURE", "JUDGE"]; // faults that stay until somebody says that their cause is gone
const FLAGS = ["OFTEN_LATE", "TRACE_BEHIND", "CLOCK_BAD"];
const STILL = ["SETUP", "HELD"]; // no verdict stands then
const HELD = 32; // the bit of FLAGS

export function open(root, app) {
  const { t } = app;
  const alarms = h("div", { class: "alarms", role: "alert" });
  const verdict = h("section", { class: "verdict", "aria-label": t("line.verdict"), "aria-live": "polite" });
  const canvas = h("canvas", { width: "448", height: "448", role: "img", "aria-label": t("line.picture") });
  const age = h("span", { class: "age" });
  const heatButton = h("button", { "aria-pressed": "true", onclick: () => setHeat(!view.heat) }, t("line.heat"));
  const liveButton = h("button", { "aria-pressed": "false", onclick: () => setLive(!view.live) }, t("line.live"));
  const shown = h("section", { class: "card shown", "aria-label": t("line.picture") }, canvas,
    h("div", { class: "row" }, age, h("div", { class: "buttons" }, heatButton, liveButton)));
  const rejects = h("ul", { class: "rejects" });
  const counts = h("section", { class: "card counts", "aria-label": t("line.shift") });
  root.append(alarms,
    h("div", { class: "stand" }, verdict, h("div", { class: "stack" }, shown, counts),
      h("section", { class: "card" }, h("h2", {}, t("line.rejects")), rejects)));

  const view = { part: null, image: null, map: null, heat: true, live: null, since: 0, turn: 0, loaded: false, rejects: "", counts: "", alarms: "", verdict: "" };

  function draw() {
    if (!view.live) drawPart(canvas, view.part || { good: true }, view.image, view.map, view.heat);
  }

  async function load(part) {
    const mine = ++view.turn;
    const [image, map] = await Promise.all([loadInput(part.id), loadMap(app.api, part.id)]);
    if (mine !== view.turn) return;
    Object.assign(view, { image, map });
    draw();
  }

  function setHeat(heat) {
    view.heat = heat;
    heatButton.setAttribute("aria-pressed", String(heat));
    draw();
  }

  function setLive(on) {
    if (view.live) view.live();
    view.live = on ? live(app.api, canvas, showAge) : null;
    liveButton.setAttribute("aria-pressed", String(on));
    heatButton.disabled = on;
    shown.classList.toggle("old", false);
    draw();
    tick();
  }

  function showAge(seconds) {
    shown.classList.toggle("old", seconds === null || seconds > OLD);
    text(age, seconds === null ? t("line.no.picture") : seconds > OLD ? t("line.old", { age: ago(seconds, t) }) : t("line.now"));
  }

  function tick() {
    if (!view.live) text(age, view.part ? t("line.part.age", { age: ago(Math.max(0, (performance.now() - view.since) / 1000), t) }) : "");
  }

  function showVerdict(station, part) {
    const online = station && station.online;
    const state = !online ? "OFFLINE" : station.image.flags & HELD ? "HELD" : station.image.state;
    const kind = online && part && !STILL.includes(state) ? tone(part) : "";
    const word = !online ? t("state.OFFLINE") : STILL.includes(state) ? t(`state.${state}`) : part ? t(`verdict.${part.shown}`) : t(`state.${state}`);
    const key = JSON.stringify([kind, word, part && part.id, state, station && station.mode]);
    if (key === view.verdict) return;
    view.verdict = key;
    verdict.className = `verdict ${kind}`;
    const why = part && online && !STILL.includes(state) ? t("line.why", { percent: percent(part), serial: part.serial || `#${part.id}` }) : "";
    const mode = online && station.mode !== "live" ? t(`mode.${station.mode}`) : "";
    fill(verdict, shape(kind), h("div", { class: "word" }, word), h("div", { class: "why" }, why),
      mode && h("div", { class: "badge mode" }, mode));
    verdict.querySelector(".mode")?.style.setProperty("color", "var(--fg)");
  }

  function showAlarms(station, codes, drift) {
    const moved = drift.filter((one) => station && station.online && one.job === station.image.job);
    const key = JSON.stringify([codes, station && station.image && station.image.state, moved]);
    if (key === view.alarms) return;
    view.alarms = key;
    const state = station && station.online ? station.image.state : "";
    const setup = state === "SETUP" && !codes.includes("HELD") ? [alarm("SETUP", app.may("engineer") && command("start"), true)] : [];
    fill(alarms, codes.map((code) => alarm(code, remedy(code), FLAGS.includes(code))), moved.map(drifted), setup,
      state === "IDLE" && !codes.length ? alarm("IDLE", null, true) : null);
  }

  function remedy(code) {
    if (!app.may("operator")) return null;
    if (code === "HELD") return h("a", { class: "button", href: "#/challenge" }, t("page.challenge"));
    return RESETS.includes(code) ? command("reset") : null;
  }

  function alarm(code, button, mild) {
    return h("div", { class: mild ? "alarm mild" : "alarm" }, h("strong", {}, t(`alarm.${code}`)), h("span", {}, t(`remedy.${code}`)), button);
  }

  function drifted(one) {
    return h("div", { class: "alarm mild" }, h("strong", {}, t(`drift.cause.${one.cause}`)), h("span", {}, one.text),
      app.may("engineer") ? h("a", { class: "button", href: "#/drift" }, t("page.drift")) : null);
  }

  function command(name) {
    return h("button", { onclick: () => app.api.post(`/api/v1/command/${name}`).catch(app.fail) }, t(`command.${name}`));
  }

  function showRejects(rows) {
    const key = rows.map((row) => `${row.id}${row.input}${row.shown}`).join();
    if (key === view.rejects) return;
    view.rejects = key;
    fill(rejects, rows.length ? rows.map((row) => h("li", { class: tone(row) },
      h("a", { href: `#/trace/${row.id}` },
        h("img", { src: `/api/v1/parts/${row.id}/input${row.input ? "?stored" : ""}`, alt: "", loading: "lazy" }),
        t(`verdict.${row.shown}`), h("br"), `${atTime(row.wall)} ${percent(row)}`))) : h("li", { class: "hint" }, t("line.no.rejects")));
  }

  function showCounts(station, shift, jobs) {
    const key = JSON.stringify([shift, station && station.image && station.image.job, jobs]);
    if (key === view.counts) return;
    view.counts = key;
    const rate = shift && shift.parts ? `${((100 * shift.rejects) / shift.parts).toFixed(1)} %` : "-";
    const number = station && station.online ? station.image.job : 0;
    const job = number ? [number, view.jobs?.[number]].filter(Boolean).join(": ") : t("line.no.job");
    const pair = (value, name) => h("div", { class: "count" }, h("b", {}, value), h("span", {}, name));
    fill(counts, pair(job, t("line.job")), pair(shift ? shift.parts : "-", shift ? t("line.parts", { time: toMinute(shift.began) }) : ""), pair(shift ? shift.rejects : "-", t("line.rejected")), pair(rate, t("line.rate")));
  }

  function update(now) {
    view.now = now;
    const { connected, parts } = now;
    const station = connected ? parts.station : parts.station && { ...parts.station, online: false };
    const part = parts.part || null;
    showVerdict(station, part);
    showAlarms(station, parts.station ? (connected ? parts.alarms : ["DESK"]) : [], (connected && parts.drift) || []);
    showRejects(parts.rejects || []);
    showCounts(station, parts.shift, Boolean(view.jobs));
    if (part && (!view.part || view.part.id !== part.id)) {
      const first = !view.part;
      view.since = performance.now() - (first ? Math.max(0, Date.now() - part.wall * 1000) : 0);
      view.part = part;
      view.loaded = false;
    }
    if (part && part.input && !view.loaded) {
      view.loaded = true; // a part's picture is stored a little after its row
      load(part);
    }
    tick();
  }

  function keys(event) {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "h") setHeat(!view.heat);
    if (event.key === "l") setLive(!view.live);
  }

  document.addEventListener("keydown", keys);
  const stop = app.onState(update);
  app.api.get("/api/v1/jobs").then((jobs) => {
    view.jobs = Object.fromEntries(jobs.map((job) => [job.number, job.name]));
    view.counts = "";
    update(view.now);
  }).catch(app.fail);
  const timer = setInterval(tick, 1000);
  return () => {
    stop();
    clearInterval(timer);
    document.removeEventListener("keydown", keys);
    if (view.live) view.live();
    view.turn++;
  };
}
