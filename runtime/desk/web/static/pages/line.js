// Line: what the operator sees.

import { h, text } from "../dom.js";

export const role = "viewer";

export function open(root, app) {
  const word = h("h1");
  root.append(word);
  return app.onState((state) => text(word, state.parts.station ? state.parts.station.image?.state ?? "-" : "-"));
}
