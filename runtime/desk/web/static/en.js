// Every text of the page, in English. {name} is filled in.

export const en = {
  "page.line": "Line",
  nav: "Pages",
  skip: "To the content",
  logout: "Log out",
  "not.connected": "Not connected: what you see is old",
  "first.hint": "No password is set: set one",
  login: "Log in",
  "login.title": "regad station",
  "login.user": "Name",
  "login.password": "Password",
  "login.hint": "A name is added on the station: regad-station passwd NAME --role operator",
};

/** The text of a key, with {name} filled in from values; a key without text is shown itself. */
export function t(key, values = {}) {
  const found = Object.hasOwn(en, key) ? en[key] : key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}
