// The live picture: one JPEG after another, each asked for when the last one is drawn.

/** Draw the camera's newest picture on a canvas until the returned function is called; told(age in s) ten times a second. */
export function live(api, canvas, told) {
  let ended = false;
  let taken = null;
  const timer = setInterval(() => told(taken === null ? null : (performance.now() - taken) / 1000), 100);
  (async () => {
    let number = 0;
    while (!ended) {
      try {
        const response = await api.raw(`/api/v1/frame.jpg?after=${number}`);
        if (response.status !== 200) continue;
        number = Number(response.headers.get("x-regad-number"));
        const age = Number(response.headers.get("x-regad-age-ms"));
        const bitmap = await createImageBitmap(await response.blob());
        if (ended) return;
        taken = performance.now() - age;
        if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
          canvas.width = bitmap.width;
          canvas.height = bitmap.height;
        }
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
      } catch {
        await new Promise((done) => setTimeout(done, 1000));
      }
    }
  })();
  return () => {
    ended = true;
    clearInterval(timer);
  };
}
