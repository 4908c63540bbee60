// Drawing keep-out zones: corners are tapped on the map, closed, named and asked for; a zone that is tapped can be
// deleted. A zone counts when the robot shows it, not before.

const NEAR_PX = { mouse: 12, touch: 24 };
const SAME_PX = 6; // a finger that trembles taps once
const PATIENCE_MS = 4000;

export class ZoneTool {
  constructor(map, elements, send, done) {
    this.map = map;
    this.send = send;
    this.done = done; // when there is nothing more to draw
    Object.assign(this, elements); // form, says, name, undo, close, save, remove, leave
    this.undrawable = "";
    this.waiting = 0;
    this.drop();
    map.onTap = (u, v, kind) => this.tap(u, v, NEAR_PX[kind] ?? NEAR_PX.touch);
    this.undo.onclick = () => this.back();
    this.close.onclick = () => this.shut();
    this.remove.onclick = () => this.ask({ type: "remove_zone", number: this.chosen.number });
    this.leave.onclick = () => { const idle = !this.chosen && !this.corners.length; this.drop(); if (idle) this.done(); };
    this.form.onsubmit = (event) => {
      event.preventDefault();
      if (!this.save.hidden && !this.save.disabled) this.ask({ type: "add_zone", name: this.name.value, corners: this.corners });
    };
  }

  // Begin and end; what was drawn and not asked for is gone then.
  show(on) { this.form.hidden = !on; this.drop(); }

  drop() {
    this.corners = []; // [x, y] in metres, map frame, whole millimetres
    this.closed = false;
    this.chosen = null; // a zone of the robot's
    this.name.value = "";
    this.answered();
  }

  // What the robot says is shut.
  setZones({ zones, mask }) {
    this.map.setZones(zones, mask);
    const drawn = JSON.stringify(this.corners);
    if (this.closed && zones.some((zone) => JSON.stringify(zone.corners) === drawn)) { this.drop(); this.done(); }
    else if (this.chosen && !(this.chosen = zones.find((zone) => zone.number === this.chosen.number) ?? null)) this.drop();
    this.render();
  }

  // Why nothing can be drawn now; empty where it can.
  setUndrawable(reason) {
    if (reason === this.undrawable) return;
    this.undrawable = reason;
    this.render();
  }

  ask(command) {
    this.send(command);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.answered(), PATIENCE_MS);
    this.render();
  }

  // An answer came, or none will.
  answered() {
    clearTimeout(this.waiting);
    this.waiting = 0;
    this.render();
  }

  tap(u, v, near) {
    if (this.undrawable || this.closed || this.waiting) return;
    const [x, y] = this.map.toWorld(u, v), away = ([cx, cy]) => { const [a, b] = this.map.toScreen(cx, cy); return Math.hypot(a - u, b - v); };
    if (!this.corners.length) {
      this.chosen = this.map.zones.findLast((zone) => within(zone.corners, x, y)) ?? null;
      if (this.chosen) { this.render(); return; }
    }
    if (this.corners.length >= 3 && away(this.corners[0]) < near) { this.shut(); return; }
    if (this.corners.length && away(this.corners.at(-1)) < SAME_PX) return;
    this.corners.push([x, y].map((value) => Math.round(value * 1000) / 1000 || 0));
    this.render();
  }

  back() {
    if (this.closed) this.closed = false;
    else this.corners.pop();
    this.render();
  }

  shut() { this.closed = true; this.render(); }

  text() {
    const count = this.corners.length;
    if (this.undrawable) return `Zones cannot be changed: ${this.undrawable}.`;
    if (this.waiting) return "The planner is asked …";
    if (this.chosen) return this.chosen.name ? `The robot keeps out of “${this.chosen.name}”.` : "The robot keeps out of this zone.";
    if (this.closed) return "The robot shall keep out of this.";
    if (!count) return "Tap the corners of a zone to keep out of, or tap a zone to delete it.";
    return count < 3 ? "Tap the next corner." : "Tap the next corner, or the first again to close.";
  }

  render() {
    const drawing = this.corners.length > 0, off = Boolean(this.undrawable || this.waiting);
    this.map.setDraft(this.corners, this.closed, this.chosen);
    this.says.textContent = this.text();
    this.undo.hidden = !drawing;
    this.close.hidden = !drawing || this.closed;
    this.close.disabled = this.corners.length < 3;
    this.name.hidden = this.save.hidden = !this.closed;
    this.remove.hidden = !this.chosen;
    this.undo.disabled = Boolean(this.waiting);
    this.save.disabled = this.remove.disabled = off;
    this.leave.textContent = drawing ? "Discard" : this.chosen ? "Leave it" : "Done";
  }
}

// Whether a point lies within the outline.
function within(corners, x, y) {
  let inside = false;
  corners.forEach(([x0, y0], i) => {
    const [x1, y1] = corners[(i + 1) % corners.length];
    if ((y0 > y) !== (y1 > y) && x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)) inside = !inside;
  });
  return inside;
}
