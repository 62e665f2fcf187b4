// The mode: from shadow to live, and back. Live is confirmed by the station's name.

import { fill, h, text } from "./dom.js";

/** The mode that the station is in, and the switch: its element, and what ends it. */
export function modeSwitch(app) {
  const { t } = app;
  const now = h("p", { role: "status" });
  const box = h("div");
  let shown = "";

  async function ask(mode, confirm = "") {
    try {
      await app.api.post("/api/v1/command/mode", { mode, confirm });
      app.say(t("mode.asked"));
    } catch (error) {
      app.fail(error);
    }
  }

  function live() {
    const name = h("input", { type: "text", required: true, autocomplete: "off", maxlength: "64" });
    const send = (event) => {
      event.preventDefault();
      ask("live", name.value);
    };
    return h("details", {}, h("summary", {}, t("mode.live")),
      h("p", { class: "wrong" }, t("mode.live.hint")), h("p", {}, t("mode.restart")),
      h("form", { class: "row", onsubmit: send },
        h("label", { class: "field" }, h("span", {}, t("mode.confirm", { station: app.me.station })), name),
        h("button", { class: "primary", type: "submit" }, t("mode.live.do"))));
  }

  function shadow() {
    return [h("p", { class: "hint" }, t("mode.restart")),
      h("div", { class: "buttons" }, h("button", { onclick: () => ask("shadow") }, t("mode.shadow.do")))];
  }

  const end = app.onState(({ parts }) => {
    const mode = parts.station?.online ? parts.station.mode : "";
    if (mode === shown) return;
    shown = mode;
    text(now, t(`mode.now.${mode || "unknown"}`));
    fill(box, mode === "shadow" ? live() : mode === "live" ? shadow() : null);
  });
  return { root: h("div", {}, now, box), end };
}
