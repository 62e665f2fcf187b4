// Requests to the desk. A change brings the session's token along; an error is thrown with the line that says what to do.

export class ApiError extends Error {
  constructor(status, answer) {
    super(answer.remedy ? `${answer.error}; ${answer.remedy}` : answer.error || `HTTP ${status}`);
    this.status = status;
    this.code = answer.code || "";
  }
}

let csrf = "";
let ended = () => {};

export function useSession(me, onEnd) {
  csrf = me ? me.csrf : "";
  if (onEnd) ended = onEnd;
}

async function request(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers }, credentials: "same-origin", cache: "no-store" };
  if (method !== "GET") options.headers["X-Regad-Csrf"] = csrf;
  if (body !== undefined) options.body = body;
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(0, { error: "the desk does not answer" });
  }
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch { /* no JSON: the status says it */ }
  if (response.status === 401 && answer.code === "login") ended();
  throw new ApiError(response.status, answer);
}

const json = (body) => (body === undefined ? undefined : JSON.stringify(body));
const type = { "Content-Type": "application/json" };

export const api = {
  get: async (path) => (await request("GET", path)).json(),
  /** The response itself, for a picture or a file. */
  raw: (path) => request("GET", path),
  post: async (path, body = {}) => (await request("POST", path, json(body), type)).json(),
  /** Send a picture as it is. */
  put: async (path, bytes, mime) => (await request("PUT", path, bytes, { "Content-Type": mime })).json(),
  remove: async (path) => (await request("DELETE", path)).json(),
};
