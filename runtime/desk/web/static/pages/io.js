// I/O: every word and bit as a PLC reads and writes it, and how the desk's services do.

import { fill, h, table, text } from "../dom.js";

export const role = "engineer";

const CONTROL = ["ENABLE", "TRIGGER", "ACK", "CLEAR", "SET_JOB"];
const STATUS = ["ONLINE", "READY", "TRIGGER_ACK", "BUSY", "VALID", "ERROR", "MISSED", "OVERRUN", "JOB_OK", "WARNING", "SHADOW", "HEARTBEAT", "SIMULATED"];
const FLAGS = ["LATE", "OFTEN_LATE", "DESK_OFFLINE", "TRACE_BEHIND", "CLOCK_BAD"];
const ALARMING = ["ERROR", "MISSED", "OVERRUN", "WARNING", ...FLAGS];
const IN = ["CONTROL", "trigger_seq", "job", "part_id", "part_id", ...Array(8).fill("serial"), "plc_heartbeat"];
const OUT = ["STATUS", "heartbeat", "state", "error", "active job", "accepted seq", "parts", "rejects", "missed", "late",
  "result_seq", "part_id", "part_id", "VERDICT", "score", "ms", "spot x", "spot y", "FLAGS", "result_seq"];

export function open(root, app) {
  const { t } = app;
  const control = bits(CONTROL), status = bits(STATUS), flags = bits(FLAGS);
  const input = words(IN, 0, t), output = words(OUT, 100, t);
  const services = h("div"), plc = h("p", { class: "hint" }), answer = h("p", { role: "status" });
  const trigger = app.me.trigger === "command" && h("section", { class: "card" }, h("h2", {}, t("io.trigger")), h("p", { class: "hint" }, t("io.trigger.hint")),
    h("button", { class: "primary", onclick: simulate }, t("io.trigger.do")), answer);
  root.append(h("h1", {}, t("page.io")), h("div", { class: "grid" },
    h("div", { class: "stack" },
      h("section", { class: "card" }, h("h2", {}, t("io.status")), status.element, h("h2", {}, t("io.flags")), flags.element, h("h2", {}, t("io.control")), control.element, plc),
      h("section", { class: "card" }, h("h2", {}, t("io.services")), services),
      trigger || ""),
    h("section", { class: "card words" }, h("h2", {}, t("io.out")), output.element),
    h("section", { class: "card words" }, h("h2", {}, t("io.in")), input.element)));

  async function simulate(event) {
    event.target.disabled = true;
    try {
      const told = await app.api.post("/api/v1/command/trigger");
      text(answer, t("io.triggered", { verdict: t(`verdict.${told.verdict}`), ms: Math.round(told.ms) }));
    } catch (error) {
      app.fail(error);
    }
    event.target.disabled = false;
  }

  let last = "";
  return app.onState(({ connected, parts }) => {
    const now = connected ? parts.words : null;
    input.show(now && now.in);
    output.show(now && now.out);
    control.show(now ? now.in[0] : 0);
    status.show(now ? now.out[0] : 0);
    flags.show(now ? now.out[18] : 0);
    const peers = parts.station && parts.station.modbus;
    text(plc, peers ? t("io.peers", { peers: JSON.stringify(peers) }) : t("io.no.modbus"));
    const key = JSON.stringify(parts.services);
    if (key === last) return;
    last = key;
    const rows = Object.entries(parts.services || {}).map(([name, one]) => [name,
      h("span", { class: `badge ${one.ok ? "good" : "bad"}` }, t(one.ok ? "io.ok" : "io.failed")), one.behind ?? "", one.text]);
    fill(services, rows.length ? table([t("io.service"), t("io.health"), t("io.behind"), t("io.said")], rows) : h("p", { class: "hint" }, t("io.no.services")));
  });
}

function bits(names) {
  const items = names.map((name) => h("li", {}, h("span", { class: ALARMING.includes(name) ? "lamp bad" : "lamp" }), name));
  return {
    element: h("ul", { class: "bits" }, items),
    show(word) {
      items.forEach((item, bit) => {
        const on = Boolean(word & (1 << bit));
        item.classList.toggle("on", on);
        text(item.firstChild, on ? "1" : "0");
      });
    },
  };
}

function words(names, start, t) {
  const cells = names.map(() => h("span", {}, "-"));
  return {
    element: table([t("io.word"), t("io.name"), t("io.value")], names.map((name, index) => [start + index, name, cells[index]])),
    show(values) {
      cells.forEach((cell, index) => text(cell, values ? values[index] : "-"));
    },
  };
}
