// A proposal as it stands at Threshold and Teach: what it came to, and the engineer's two buttons.

import { h, table } from "./dom.js";
import { when } from "./words.js";

const TONE = { ready: "good", approved: "good", refused: "bad", failed: "bad", working: "warn", withdrawn: "" };

/** Show a proposal; changed(approved) is called after a button was pressed. Older ones are folded. */
export function report(app, one, changed, folded = false) {
  const { t } = app;
  const act = (name) => async (event) => {
    event.target.disabled = true;
    try {
      await app.api.post(`/api/v1/proposals/${one.id}/${name}`);
      await changed(name === "approve");
    } catch (error) {
      event.target.disabled = false;
      app.fail(error);
    }
  };
  const links = (ids) => ids.slice(0, 20).flatMap((id) => [h("a", { href: `#/trace/${id}` }, `#${id}`), " "]);
  const list = (name, ids, bad) => ids.length ? h("p", { class: bad ? "wrong" : "" }, `${t(`proposal.${name}`, { n: ids.length })} `, links(ids)) : null;
  const limits = one.limit === null ? "" : ` ${t(one.wanted.name ? "proposal.limit.new" : "proposal.limit", { before: one.limit_before === null ? "-" : one.limit_before.toFixed(3), after: one.limit.toFixed(3) })}`;
  return h("details", { class: "proposal", open: !folded },
    h("summary", {}, h("span", { class: `badge ${TONE[one.state]}` }, t(`proposal.${one.state}`)), " ", t(one.wanted.name ? "proposal.kind.new" : `proposal.kind.${one.wanted.kind}`, { id: one.id, job: one.wanted.job, name: one.wanted.name }), limits,
      h("span", { class: "hint" }, ` ${one.by}, ${when(one.at)}`)),
    one.state === "working" ? [h("progress", { max: one.total || 1, value: one.done, "aria-label": t("proposal.working") }), h("p", { class: "hint" }, t("proposal.at", one))] : null,
    one.reasons.map((reason) => h("p", { class: "wrong" }, reason)),
    one.report && [
      one.report.groups.some((group) => group.parts) && table([t("proposal.group"), t("proposal.parts"), t("proposal.before"), t("proposal.after"), t("proposal.left")],
        one.report.groups.map((group) => [t(`proposal.group.${group.name}`), group.parts, group.passed_before, group.passed_after, group.left_out || ""]), { class: "numbers" }),
      list("cured", one.report.cured), list("lost", one.report.lost), list("escape", one.report.escapes, true), list("left_out", one.report.left_out)],
    one.held_out.length > 0 && h("p", {}, t("proposal.held", { scores: one.held_out.map((score) => score.toFixed(2)).join(", ") })),
    one.wanted.settings && h("p", {}, settings(t, one.wanted.settings)),
    one.notes.map((note) => h("p", { class: "hint" }, note)),
    one.approved_by && h("p", {}, t("proposal.by", { by: one.approved_by, when: when(one.approved_at) })),
    h("div", { class: "buttons" },
      one.state === "ready" && h("button", { class: "primary", onclick: act("approve") }, t("proposal.approve")),
      ["ready", "working"].includes(one.state) && h("button", { onclick: act("withdraw") }, t("proposal.withdraw"))));
}

const settings = (t, { deadline_ms, challenge_every_h }) => t("proposal.settings", {
  deadline: deadline_ms ? t("proposal.deadline", { n: deadline_ms }) : t("proposal.deadline.usual"),
  every: challenge_every_h ? t("proposal.every", { n: challenge_every_h }) : t("proposal.every.never"),
});
