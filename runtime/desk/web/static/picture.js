// A part's picture with its heat map, drawn on one canvas.

const SIDE = 448;

/** Draw the map (56 x 56 bytes in 255ths of top) over a canvas: nothing far below the threshold, red above it. */
export function drawHeat(canvas, bytes, top, threshold) {
  const side = Math.round(Math.sqrt(bytes.length));
  const small = document.createElement("canvas");
  small.width = small.height = side;
  const context = small.getContext("2d");
  const image = context.createImageData(side, side);
  for (let i = 0; i < bytes.length; i++) {
    const level = (bytes[i] / 255) * top / (threshold || top || 1);
    const share = Math.min(1, Math.max(0, (level - 0.6) / 0.7));
    image.data.set([255, Math.round(210 * (1 - share)), 0, Math.round(130 * share)], i * 4);
  }
  context.putImageData(image, 0, 0);
  const target = canvas.getContext("2d");
  target.imageSmoothingEnabled = true;
  target.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Load the encoder's input of a part; null where it cannot be had. */
export async function loadInput(part) {
  const image = new Image();
  image.src = `/api/v1/parts/${part}/input`;
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

export async function loadMap(api, part) {
  try {
    const response = await api.raw(`/api/v1/parts/${part}/map`);
    return { top: Number(response.headers.get("x-regad-top")), bytes: new Uint8Array(await response.arrayBuffer()) };
  } catch {
    return null;
  }
}

/** Draw a part on a canvas: its picture, with its map if heat is wanted, and a ring around the worst spot of a reject. */
export function drawPart(canvas, part, image, map, heat) {
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  if (image) context.drawImage(image, 0, 0, SIDE, SIDE);
  if (heat && map) drawHeat(canvas, map.bytes, map.top, part.threshold);
  if (heat && part.spot_x !== null && part.score > part.threshold) {
    const scale = SIDE / 224;
    context.lineWidth = 3;
    context.strokeStyle = "#fff";
    context.beginPath();
    context.arc((part.spot_x + 0.5) * scale, (part.spot_y + 0.5) * scale, 26, 0, 7);
    context.stroke();
  }
}
