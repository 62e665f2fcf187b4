// What the station is doing: the whole state first, then what changes. Silence for 3 s is "not connected".

const SILENCE = 3000;
let source = null;
let heard = 0;
let timer = 0;
const listeners = new Set();

export const state = { connected: false, parts: {} };

/** Call f(state) now and at each change; returns what ends it. */
export function onState(f) {
  listeners.add(f);
  f(state);
  return () => listeners.delete(f);
}

function tell() {
  for (const listener of [...listeners]) listener(state);
}

function alive() {
  heard = performance.now();
  if (!state.connected) {
    state.connected = true;
    tell();
  }
}

export function openState() {
  closeState();
  source = new EventSource("/api/v1/events");
  source.addEventListener("state", (event) => {
    state.parts = JSON.parse(event.data);
    alive();
    tell();
  });
  source.addEventListener("delta", (event) => {
    Object.assign(state.parts, JSON.parse(event.data));
    alive();
    tell();
  });
  source.addEventListener("alive", alive);
  timer = setInterval(() => {
    if (state.connected && performance.now() - heard > SILENCE) {
      state.connected = false;
      tell();
    }
    if (source && source.readyState === EventSource.CLOSED) openState();
  }, 500);
}

export function closeState() {
  if (source) source.close();
  source = null;
  clearInterval(timer);
  state.connected = false;
}
