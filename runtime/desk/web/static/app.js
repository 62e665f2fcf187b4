// The frame of the page: login, navigation, and the table of pages.
//
// A page module exports `role` (the least one that sees it) and `open(root, app)`, which fills the element `root`,
// may return (or resolve to) a function that is called when the page is left, and finds in `app`:
// me {user, role, station, trigger}, api, t, onState, say(text), fail(error), place (what follows the page's name).

import { api, useSession } from "./api.js";
import { fill, h, text } from "./dom.js";
import { t } from "./en.js";
import { login } from "./login.js";
import { closeState, onState, openState } from "./state.js";
import * as challenge from "./pages/challenge.js";
import * as drift from "./pages/drift.js";
import * as io from "./pages/io.js";
import * as job from "./pages/job.js";
import * as line from "./pages/line.js";
import * as review from "./pages/review.js";
import * as system from "./pages/system.js";
import * as teach from "./pages/teach.js";
import * as threshold from "./pages/threshold.js";
import * as trace from "./pages/trace.js";

/** Every page, in the order of the navigation; its name in words is the text "page.NAME". */
export const pages = { line, review, job, challenge, teach, threshold, drift, trace, io, system };

const ROLES = ["viewer", "operator", "engineer"];
const root = document.getElementById("app");
let leave = null;
let turn = 0;

export const may = (me, role) => ROLES.indexOf(me.role) >= ROLES.indexOf(role);

function frame(me) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const links = Object.entries(pages).filter(([, page]) => may(me, page.role)).map(([name]) =>
    h("a", { href: `#/${name}`, "data-page": name }, t(`page.${name}`)));
  const banner = h("div", { class: "banner", role: "alert", hidden: true }, t("not.connected"));
  const notice = h("div", { class: "notice", role: "status", "aria-live": "polite", hidden: true });
  const first = me.first ? h("a", { class: "warn", href: "#/system" }, t("first.hint")) : null;
  fill(root,
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("skip")),
    h("header", {},
      h("span", { class: "station" }, me.station),
      h("nav", { "aria-label": t("nav") }, links),
      h("span", { class: "who" }, first, h("span", {}, me.first ? "" : me.user),
        h("button", { class: "quiet", onclick: logout }, t("logout")))),
    banner, notice, main);
  return { main, banner, notice, links };
}

async function logout() {
  try {
    await api.post("/api/v1/logout");
  } catch { /* the session has ended already */ }
  start();
}

async function show(me, view, name, place) {
  const mine = ++turn;
  if (leave) leave();
  leave = null;
  for (const link of view.links) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const say = (what, bad = false) => {
    text(view.notice, what);
    view.notice.classList.toggle("bad", bad);
    view.notice.hidden = !what;
    clearTimeout(view.timer);
    if (what && !bad) view.timer = setTimeout(() => { view.notice.hidden = true; }, 6000);
  };
  const box = h("div", { class: `page ${name}` });
  fill(view.main, box);
  document.title = `${t(`page.${name}`)} - ${me.station}`;
  const app = { me, api, t, onState, say, fail: (error) => say(error.message, true), place, may: (role) => may(me, role), again: start };
  say("");
  try {
    const done = await pages[name].open(box, app);
    if (mine === turn) leave = done || null;
    else if (done) done();
  } catch (error) {
    app.fail(error);
  }
}

async function start() {
  if (leave) leave();
  leave = null;
  window.onhashchange = null;
  closeState();
  let me = null;
  const token = location.hash.match(/^#first=([\w-]+)$/);
  if (token) history.replaceState(null, "", "/");
  try {
    me = token ? await api.post("/api/v1/link", { token: token[1] }) : await api.get("/api/v1/me");
  } catch (error) {
    useSession(null, () => {});
    login(root, t, error.code === "login" ? "" : error.message, start);
    return;
  }
  useSession(me, start);
  const view = frame(me);
  const end = onState((now) => { view.banner.hidden = now.connected || !now.parts.station; });
  openState();
  const go = () => {
    const [name, ...place] = decodeURIComponent(location.hash.replace(/^#\/?/, "")).split("/");
    const known = Object.hasOwn(pages, name) && may(me, pages[name].role) ? name : "line";
    show(me, view, known, place);
  };
  window.onhashchange = go;
  view.end = end;
  go();
}

start();
