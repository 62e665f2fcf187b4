// Name and password.

import { api } from "./api.js";
import { fill, h, text } from "./dom.js";

export function login(root, t, message, done) {
  const user = h("input", { id: "user", name: "user", autocomplete: "username", required: true, maxlength: "64" });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: "1024" });
  const wrong = h("p", { class: "wrong", role: "alert" }, message);
  const button = h("button", { class: "primary", type: "submit" }, t("login"));
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await api.post("/api/v1/login", { user: user.value, password: password.value });
      done();
    } catch (error) {
      text(wrong, error.message);
      button.disabled = false;
      password.select();
    }
  };
  document.title = t("login");
  fill(root, h("main", { class: "login" }, h("form", { onsubmit: submit },
    h("h1", {}, t("login.title")),
    h("label", { for: "user" }, t("login.user")), user,
    h("label", { for: "password" }, t("login.password")), password,
    wrong, button,
    h("p", { class: "hint" }, t("login.hint")))));
  user.focus();
}
