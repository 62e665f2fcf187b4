// System: the station as a machine. What is configured is shown, and changed in station.toml alone.

import { fill, h, table } from "../dom.js";
import { modeSwitch } from "../mode.js";
import { tokens } from "../tokens.js";
import { size, when } from "../words.js";

export const role = "viewer";

export async function open(root, app) {
  const { t } = app;
  const grid = h("div", { class: "columns" });
  root.append(h("h1", {}, t("page.system")), grid);
  const mode = app.may("engineer") ? modeSwitch(app) : null;
  grid.append(password(app), ...(mode ? [card(t("mode.title"), mode.root), ...(await machine(app))] : []), await log(app));
  return mode?.end;
}

const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);
const pairs = (found) => h("dl", {}, Object.entries(found).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

function password(app) {
  const { t, me } = app;
  const input = (name, type, more) => h("input", { name, type, required: true, ...more });
  const field = (name, control) => h("label", { class: "field" }, h("span", {}, name), control);
  const form = h("form", { class: "row", onsubmit: change },
    me.first ? field(t("login.user"), input("user", "text", { autocomplete: "username", maxlength: "64" }))
      : field(t("password.current"), input("current", "password", { autocomplete: "current-password" })),
    field(t("password.new"), input("password", "password", { autocomplete: "new-password", minlength: "8", maxlength: "1024" })),
    h("button", { class: "primary", type: "submit" }, t("password.set")));

  async function change(event) {
    event.preventDefault();
    try {
      await app.api.post("/api/v1/password", Object.fromEntries(new FormData(form)));
      app.again();
    } catch (error) {
      app.fail(error);
    }
  }
  return card(t(me.first ? "password.first" : "password.title"), me.first && h("p", {}, t("password.hint")), form);
}

async function machine(app) {
  const { t, api } = app;
  const [found, config, audit] = await Promise.all([api.get("/api/v1/system"), api.get("/api/v1/config"), api.get("/api/v1/audit?limit=30")]);
  const { disk } = found;
  const command = (name) => h("button", { onclick: () => api.post(`/api/v1/command/${name}`).then(() => app.say(t("command.done"))).catch(app.fail) }, t(`command.${name}`));
  const used = h("div");
  used.style.width = `${Math.min(100, (100 * disk.pictures) / Math.max(1, disk.pictures + disk.room))}%`;
  const days = disk.days === null ? t("disk.unknown") : disk.days > 3650 ? t("disk.years") : t("disk.days", { n: disk.days.toFixed(disk.days < 10 ? 1 : 0) });
  return [
    card(t("system.commands"), h("div", { class: "buttons" }, command("start"), command("stop"), command("reset"))),
    card(t("system.disk"), h("div", { class: "meter", role: "img", "aria-label": days }, used),
      pairs({ [t("disk.forecast")]: days, [t("disk.pictures")]: size(disk.pictures), [t("disk.per_day")]: size(disk.per_day), [t("disk.free")]: size(disk.free) })),
    card(t("system.health"), table([t("io.service"), t("io.health"), t("io.said")], Object.entries(found.health).map(([name, one]) =>
      [name, h("span", { class: `badge ${one.ok ? "good" : "bad"}` }, t(one.ok ? "io.ok" : "io.failed")), one.text]))),
    card(t("system.users"), found.users.length ? table([t("login.user"), t("system.role")], found.users.map((user) => [user.name, t(`role.${user.role}`)])) : h("p", {}, t("system.nobody")),
      h("p", { class: "hint" }, t("login.hint"))),
    card(t("tokens.title"), await tokens(app)),
    card(t("system.versions"), pairs(found.versions)),
    card(t("system.diagnostics"), h("p", {}, t("system.diagnostics.hint")), h("a", { class: "button", href: "/api/v1/diagnostics", download: "regad-diagnostics.zip" }, t("system.diagnostics.get"))),
    card(t("system.config"), h("p", { class: "hint" }, t("system.config.hint")), h("pre", { tabindex: "0" }, toml(config))),
    card(t("system.boots"), table([t("trace.boot"), t("trace.when"), t("system.clean")], [...found.boots].reverse().map((boot, index) => [boot.id, when(boot.wall), index === 0 ? t("system.runs") : t(boot.clean ? "yes" : "no")]))),
    card(t("system.audit"), audit.length ? table([t("trace.when"), t("trace.by"), t("system.action"), t("system.after")], audit.map((one) => [when(one.wall), one.user, one.action, one.after])) : h("p", { class: "hint" }, t("system.no.audit"))),
  ];
}

async function log(app) {
  const { t, api } = app;
  const box = card(t("system.log"));
  const rows = h("div");
  box.append(rows);
  const tone = { alarm: "bad", warning: "warn" };

  async function show() {
    const events = await api.get("/api/v1/log?limit=30");
    fill(rows, events.length ? table([t("trace.when"), t("system.severity"), t("system.text"), ""], events.map((one) => [when(one.wall),
      h("span", { class: `badge ${tone[one.severity] || ""}` }, one.severity), one.text,
      one.acked_by ? t("system.acked", { by: one.acked_by }) : app.may("operator") && one.severity !== "info"
        ? h("button", { class: "quiet", onclick: () => seen(one.id) }, t("system.acknowledge")) : ""])) : h("p", { class: "hint" }, t("system.no.log")));
  }

  async function seen(event) {
    try {
      await api.post("/api/v1/acknowledge", { event });
      await show();
    } catch (error) {
      app.fail(error);
    }
  }
  await show();
  return box;
}

/** The configuration as it stands in the file, without its comments. */
function toml(config) {
  const lines = [];
  const put = (value) => JSON.stringify(value);
  for (const [name, value] of Object.entries(config)) {
    for (const part of Array.isArray(value) ? value : [value]) {
      lines.push(Array.isArray(value) ? `[[${name}]]` : `[${name}]`);
      for (const [key, inner] of Object.entries(part || {})) lines.push(`${key} = ${put(inner)}`);
      lines.push("");
    }
  }
  return lines.join("\n").trimEnd();
}
