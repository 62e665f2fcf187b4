// The tokens by which machines use the API: made, shown once, revoked.

import { fill, h, table } from "./dom.js";
import { onDay } from "./words.js";

const ROLES = ["viewer", "operator", "engineer"];

/** The list of tokens, and a form for a new one. */
export async function tokens(app) {
  const { t, api } = app;
  const list = h("div");
  const made = h("div", { role: "status" });
  const name = h("input", { name: "name", type: "text", required: true, maxlength: "48", pattern: "[\\w.@\\-]+", autocomplete: "off" });
  const role = h("select", { name: "role" }, ROLES.map((one) => h("option", { value: one }, t(`role.${one}`))));
  const days = h("input", { name: "days", type: "number", min: "1", max: "3650", placeholder: t("tokens.no.end") });
  const form = h("form", { class: "row", onsubmit: make }, h("label", { class: "field" }, h("span", {}, t("tokens.name")), name),
    h("label", { class: "field" }, h("span", {}, t("system.role")), role), h("label", { class: "field" }, h("span", {}, t("tokens.days")), days),
    h("button", { type: "submit" }, t("tokens.make")));

  async function make(event) {
    event.preventDefault();
    try {
      const found = await api.post("/api/v1/tokens", { name: name.value, role: role.value, days: days.value ? Number(days.value) : null });
      fill(made, h("p", {}, t("tokens.once", { name: found.name })), h("pre", { tabindex: "0", class: "token" }, found.token));
      form.reset();
      await show();
    } catch (error) {
      app.fail(error);
    }
  }

  async function revoke(one) {
    try {
      await api.remove(`/api/v1/tokens/${encodeURIComponent(one)}`);
      fill(made);
      await show();
    } catch (error) {
      app.fail(error);
    }
  }

  async function show() {
    const found = await api.get("/api/v1/tokens");
    fill(list, found.length ? table([t("tokens.name"), t("system.role"), t("trace.by"), t("tokens.made"), t("tokens.ends"), ""], found.map((one) =>
      [one.name, t(`role.${one.role}`), one.made_by, t("tokens.ago", { when: onDay(one.made_at), n: one.days }),
        one.over ? h("span", { class: "badge bad" }, t("tokens.over", { when: onDay(one.ends_at) })) : one.ends_at ? onDay(one.ends_at) : t("tokens.no.end"),
        h("button", { class: "quiet", onclick: () => revoke(one.name) }, t("tokens.revoke", { name: one.name }))])) : h("p", { class: "hint" }, t("tokens.none")));
  }

  try {
    await show();
  } catch (error) { // a file that cannot be used must not take the mode's switch away
    fill(list, h("p", { class: "wrong" }, error.message));
  }
  return h("div", {}, h("p", { class: "hint" }, t("tokens.hint")), list, form, made);
}
