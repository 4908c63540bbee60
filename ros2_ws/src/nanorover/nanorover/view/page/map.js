// The map: world metres on a canvas, with pan, zoom, and poses that are pointed at.

const COLOURS = {
  grid: "#1b2630", free: [38, 52, 64], occupied: [226, 234, 240], scan: "#37e0d0", path: "#ffb54788", plan: "#3ecf8e",
  robot: "#4aa8ff", goal: "#3ecf8e", object: "#ff8fa3", pose: "#a58bff", zone: "#ff4d4f", chosen: "#ffb547",
};
const MIN_SCALE = 4, MAX_SCALE = 600; // pixels per metre
const NARROW_PX = 800, BESIDE_PX = [234, 344]; // where there is room, a fitted map lies between stick and lists
const TAP_PX = 10; // a finger that moves less does not drag the map
const HATCH_PX = 9, NAMED_FROM_PX = 24; // a zone that looks smaller has no room for its name
const SCALE_BAR_PX = 74; // at most; the width of the tools on a phone

export class MapView {
  constructor(canvas, onPlace) {
    this.canvas = canvas;
    canvas.view = this; // so that the console (and a test) can ask where something is
    this.context = canvas.getContext("2d");
    this.onPlace = onPlace; // (tool, {x, y, yaw})
    this.tool = "look";
    this.follow = true;
    this.scale = 60;
    this.centre = [0, 0]; // world point in the middle of the screen
    this.pose = null;
    this.scan = null;
    this.map = null;
    this.lines = {};
    this.objects = [];
    this.goal = null;
    this.zones = []; // {number, name, corners}
    this.mask = []; // outlines of the keep-out mask
    this.draft = { corners: [], closed: false, chosen: null };
    this.tap = null; // where a finger came down that has not moved yet
    this.hover = null; // where the mouse is, as a world point
    this.pointers = new Map();
    this.placing = null;
    this.dirty = true;
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => this.up(e));
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 500), e.offsetX, e.offsetY); }, { passive: false });
    new ResizeObserver(() => this.resize()).observe(canvas);
    const loop = () => { if (this.dirty) this.draw(); requestAnimationFrame(loop); };
    requestAnimationFrame(loop);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = this.canvas.clientWidth * ratio;
    this.canvas.height = this.canvas.clientHeight * ratio;
    this.dirty = true;
  }

  toScreen(x, y) {
    return [this.canvas.clientWidth / 2 + (x - this.centre[0]) * this.scale, this.canvas.clientHeight / 2 - (y - this.centre[1]) * this.scale];
  }

  toWorld(u, v) {
    return [this.centre[0] + (u - this.canvas.clientWidth / 2) / this.scale, this.centre[1] - (v - this.canvas.clientHeight / 2) / this.scale];
  }

  zoom(factor, u = this.canvas.clientWidth / 2, v = this.canvas.clientHeight / 2) {
    const before = this.toWorld(u, v);
    this.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.scale * factor));
    const after = this.toWorld(u, v);
    if (!this.follow) this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.dirty = true;
  }

  fit() {
    if (!this.map) return;
    const { width, height, resolution, origin } = this.map;
    const [left, right] = this.canvas.clientWidth > NARROW_PX ? BESIDE_PX : [0, 0];
    const fits = Math.min((this.canvas.clientWidth - left - right) / (width * resolution), (this.canvas.clientHeight - 60) / (height * resolution));
    this.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, fits * 0.9));
    this.centre = [origin[0] + width * resolution / 2 + (right - left) / 2 / this.scale, origin[1] + height * resolution / 2];
    this.dirty = true;
  }

  // -- what comes from the robot -----------------------------------------------------------------------

  async setMap(header, png) {
    const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }));
    const picture = new OffscreenCanvas(header.width, header.height);
    const context = picture.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const image = context.getImageData(0, 0, header.width, header.height);
    const pixels = image.data;
    for (let i = 0; i < pixels.length; i += 4) {
      const value = pixels[i]; // 0 free … 100 occupied, 255 unknown
      const part = Math.min(value, 100) / 100;
      for (let c = 0; c < 3; c++) pixels[i + c] = COLOURS.free[c] + (COLOURS.occupied[c] - COLOURS.free[c]) * part;
      pixels[i + 3] = value === 255 ? 0 : 255;
    }
    context.putImageData(image, 0, 0);
    const first = !this.map;
    this.map = { ...header, picture };
    if (first && !this.pose) this.fit();
    this.dirty = true;
  }

  setScan(header, points) { this.scan = { pose: header.pose, points }; this.dirty = true; }
  setPose(pose) { this.pose = pose; if (pose && this.follow) this.centre = [pose[0], pose[1]]; this.dirty = true; }
  setObjects(objects) { this.objects = objects; this.dirty = true; }
  setLines(lines) { this.lines = lines; this.dirty = true; }
  setZones(zones, mask) { this.zones = zones; this.mask = mask; this.dirty = true; }
  setDraft(corners, closed, chosen) { this.draft = { corners, closed, chosen }; this.dirty = true; }

  // -- fingers and mouse -------------------------------------------------------------------------------

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.tap = this.tool === "zone" && this.pointers.size === 1 ? [event.offsetX, event.offsetY] : null;
    if (["goal", "pose"].includes(this.tool) && this.pointers.size === 1) {
      const [x, y] = this.toWorld(event.offsetX, event.offsetY);
      this.placing = { x, y, yaw: this.pose ? this.pose[2] : 0 };
    } else {
      this.placing = null; // a second finger means zooming
    }
    this.dirty = true;
  }

  move(event) {
    const last = this.pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
    this.hover = event.pointerType === "mouse" ? this.toWorld(...now) : null;
    if (this.tool === "zone") this.dirty = true;
    if (!last) return;
    if (this.tap && Math.hypot(now[0] - this.tap[0], now[1] - this.tap[1]) < TAP_PX) return;
    this.tap = null;
    if (this.placing) {
      const [u, v] = this.toScreen(this.placing.x, this.placing.y);
      if (Math.hypot(now[0] - u, now[1] - v) > 12) this.placing.yaw = Math.atan2(v - now[1], now[0] - u);
    } else if (this.pointers.size === 1) {
      this.setFollow(false);
      this.centre = [this.centre[0] - (now[0] - last[0]) / this.scale, this.centre[1] + (now[1] - last[1]) / this.scale];
    } else if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const spread = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      this.zoom(spread(now) / Math.max(spread(last), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    this.pointers.set(event.pointerId, now);
    this.dirty = true;
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.placing && event.type === "pointerup") {
      const placed = this.placing;
      if (this.tool === "goal") this.goal = placed;
      this.onPlace(this.tool, placed);
    }
    if (this.tap && event.type === "pointerup") this.onTap?.(...this.tap, event.pointerType);
    this.placing = this.tap = null;
    this.dirty = true;
  }

  setFollow(on) { this.follow = on; this.onFollow?.(on); if (on) this.setPose(this.pose); }

  // -- drawing -----------------------------------------------------------------------------------------

  draw() {
    this.dirty = false;
    this.tellScale();
    const c = this.context, ratio = window.devicePixelRatio || 1;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    this.drawGrid(c);
    if (this.map) this.drawMap(c);
    this.drawZones(c);
    this.drawLine(c, this.lines.path, COLOURS.path, 2);
    this.drawLine(c, this.lines.plan, COLOURS.plan, 4);
    if (this.scan) this.drawScan(c);
    for (const object of this.objects) this.drawObject(c, object);
    if (this.goal && this.lines.plan?.length) this.drawArrow(c, this.goal, COLOURS.goal);
    if (this.pose) this.drawRobot(c);
    if (this.placing) this.drawArrow(c, this.placing, COLOURS[this.tool]);
    if (this.draft.corners.length) this.drawDraft(c);
  }

  // The longest of 1, 2, 5, 10 … metres that the scale bar has room for.
  tellScale() {
    if (this.scale === this.toldScale) return;
    this.toldScale = this.scale;
    const most = SCALE_BAR_PX / this.scale, decade = 10 ** Math.floor(Math.log10(most));
    const length = Number(([5, 2, 1].find((n) => n * decade <= most) * decade).toPrecision(1));
    this.onScale?.(length, length * this.scale);
  }

  drawGrid(c) {
    const step = this.scale > 25 ? 1 : 5;
    const [left, top] = this.toWorld(0, 0), [right, bottom] = this.toWorld(this.canvas.clientWidth, this.canvas.clientHeight);
    c.strokeStyle = COLOURS.grid;
    c.lineWidth = 1;
    c.beginPath();
    for (let x = Math.ceil(left / step) * step; x < right; x += step) { const [u] = this.toScreen(x, 0); c.moveTo(u, 0); c.lineTo(u, this.canvas.clientHeight); }
    for (let y = Math.ceil(bottom / step) * step; y < top; y += step) { const [, v] = this.toScreen(0, y); c.moveTo(0, v); c.lineTo(this.canvas.clientWidth, v); }
    c.stroke();
  }

  drawMap(c) {
    const { origin, resolution, height, picture } = this.map;
    const [u, v] = this.toScreen(origin[0], origin[1]);
    c.save();
    c.translate(u, v);
    c.rotate(-origin[2]);
    c.scale(resolution * this.scale, resolution * this.scale);
    c.imageSmoothingEnabled = this.scale * resolution < 1;
    c.drawImage(picture, 0, -height);
    c.restore();
  }

  drawZones(c) {
    c.fillStyle = this.hatching(c);
    c.lineWidth = 2;
    const shapes = this.zones.map(({ corners }) => [corners]);
    for (const outlines of [this.mask, ...shapes]) {
      c.beginPath();
      for (const outline of outlines) this.trace(c, outline);
      c.fill("evenodd"); // a mask's holes are outlines within outlines
      c.strokeStyle = outlines[0] === this.draft.chosen?.corners ? COLOURS.chosen : COLOURS.zone;
      c.stroke();
    }
    for (const zone of this.zones) this.drawName(c, zone);
  }

  // Stripes that lie still on the floor.
  hatching(c) {
    const ratio = window.devicePixelRatio || 1;
    if (this.hatchRatio !== ratio) {
      const size = Math.round(HATCH_PX * ratio), tile = new OffscreenCanvas(size, size), t = tile.getContext("2d");
      t.fillStyle = COLOURS.zone + "26";
      t.fillRect(0, 0, size, size);
      t.strokeStyle = COLOURS.zone + "b0";
      t.lineWidth = 1.6 * ratio;
      for (const x of [-size, 0, size]) { t.moveTo(x - size / 2, size * 1.5); t.lineTo(x + size * 1.5, -size / 2); }
      t.stroke();
      this.hatch = c.createPattern(tile, "repeat");
      this.hatchRatio = ratio;
    }
    this.hatch.setTransform(new DOMMatrix().translate(...this.toScreen(0, 0)).scale(1 / ratio));
    return this.hatch;
  }

  trace(c, outline, closed = true) {
    outline.forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](...this.toScreen(x, y)));
    if (closed) c.closePath();
  }

  // Where a zone is widest at half its height.
  drawName(c, { name, corners }) {
    const at = corners.map(([x, y]) => this.toScreen(x, y)), heights = at.map(([, v]) => v);
    const v = (Math.min(...heights) + Math.max(...heights)) / 2, crossings = [];
    at.forEach(([u0, v0], i) => {
      const [u1, v1] = at[(i + 1) % at.length];
      if ((v0 > v) !== (v1 > v)) crossings.push(u0 + (v - v0) / (v1 - v0) * (u1 - u0));
    });
    crossings.sort((a, b) => a - b);
    let [left, right] = [0, 0];
    for (let i = 0; i + 1 < crossings.length; i += 2) if (crossings[i + 1] - crossings[i] > right - left) [left, right] = [crossings[i], crossings[i + 1]];
    if (!name || right - left < NAMED_FROM_PX) return;
    c.font = "600 12px system-ui, sans-serif";
    const width = c.measureText(name).width;
    c.fillStyle = "#0e1419d9";
    c.fillRect((left + right - width) / 2 - 6, v - 10, width + 12, 20);
    c.fillStyle = "#ffb3b4";
    c.fillText(name, (left + right - width) / 2, v + 4);
  }

  drawDraft(c) {
    const { corners, closed } = this.draft;
    c.strokeStyle = COLOURS.chosen;
    c.lineWidth = 2.5;
    c.setLineDash(closed ? [] : [7, 5]);
    c.beginPath();
    this.trace(c, this.hover && !closed ? [...corners, this.hover] : corners, closed);
    if (closed) { c.fillStyle = this.hatching(c); c.fill(); }
    c.stroke();
    c.setLineDash([]);
    c.fillStyle = COLOURS.chosen;
    corners.forEach(([x, y], i) => {
      c.beginPath();
      c.arc(...this.toScreen(x, y), 4.5, 0, 2 * Math.PI);
      c.fill();
      if (i || closed || corners.length < 3) return;
      c.beginPath(); // a ring about the corner that closes
      c.arc(...this.toScreen(x, y), 11, 0, 2 * Math.PI);
      c.stroke();
    });
  }

  drawScan(c) {
    const { pose: [x, y, yaw], points } = this.scan;
    const cos = Math.cos(yaw), sin = Math.sin(yaw), size = Math.max(2, this.scale * 0.035);
    c.fillStyle = COLOURS.scan;
    for (let i = 0; i < points.length; i += 2) {
      const px = points[i] / 1000, py = points[i + 1] / 1000;
      const [u, v] = this.toScreen(x + cos * px - sin * py, y + sin * px + cos * py);
      c.fillRect(u - size / 2, v - size / 2, size, size);
    }
  }

  drawObject(c, { x, y, vx, vy, radius, label }) {
    const [u, v] = this.toScreen(x, y), size = Math.max(7, radius * this.scale);
    c.strokeStyle = COLOURS.object;
    c.fillStyle = COLOURS.object + "33";
    c.lineWidth = 2;
    c.beginPath();
    c.arc(u, v, size, 0, 2 * Math.PI);
    c.fill();
    c.moveTo(u, v);
    c.lineTo(u + vx * this.scale, v - vy * this.scale); // where it is in a second
    c.stroke();
    c.fillStyle = COLOURS.object;
    c.font = "600 12px system-ui, sans-serif";
    c.fillText(label, u + size + 4, v + 4);
  }

  drawLine(c, line, colour, width) {
    if (!line?.length) return;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.lineJoin = "round";
    c.beginPath();
    for (const [x, y] of line) c.lineTo(...this.toScreen(x, y));
    c.stroke();
  }

  drawRobot(c) {
    const [x, y, yaw] = this.pose, size = Math.max(11, this.scale * 0.14);
    c.save();
    c.translate(...this.toScreen(x, y));
    c.rotate(-yaw);
    c.fillStyle = COLOURS.robot;
    c.strokeStyle = "#fff";
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(size * 1.25, 0);
    c.lineTo(-size * 0.8, size * 0.85);
    c.lineTo(-size * 0.4, 0);
    c.lineTo(-size * 0.8, -size * 0.85);
    c.closePath();
    c.fill();
    c.stroke();
    c.restore();
  }

  drawArrow(c, place, colour) {
    c.save();
    c.translate(...this.toScreen(place.x, place.y));
    c.rotate(-place.yaw);
    c.strokeStyle = c.fillStyle = colour;
    c.lineWidth = 4;
    c.beginPath();
    c.arc(0, 0, 9, 0, 2 * Math.PI);
    c.moveTo(9, 0);
    c.lineTo(42, 0);
    c.stroke();
    c.beginPath();
    c.moveTo(56, 0);
    c.lineTo(38, 10);
    c.lineTo(38, -10);
    c.fill();
    c.restore();
  }
}
