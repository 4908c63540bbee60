// Driving by keys, finger and gamepad. Everything is a dead-man's switch: letting go, leaving the page or losing the
// connection stops; the robot forgets a command that is not repeated.

const KEYS = {
  KeyW: [1, 0], ArrowUp: [1, 0], KeyS: [-1, 0], ArrowDown: [-1, 0],
  KeyA: [0, 1], ArrowLeft: [0, 1], KeyD: [0, -1], ArrowRight: [0, -1],
};
const REPEAT_MS = 100;
const DEAD_ZONE = 0.12;
const SHOULDERS = [4, 5, 6, 7]; // standard gamepad mapping

export class Drive {
  constructor(stick, knob, speed, send) {
    this.stick = stick;
    this.knob = knob;
    this.speed = speed;
    this.send = send; // (linear, angular), each −1 … 1
    this.held = new Set();
    this.finger = null;
    this.engaged = false;
    window.addEventListener("keydown", (e) => this.key(e, true));
    window.addEventListener("keyup", (e) => this.key(e, false));
    window.addEventListener("blur", () => this.letGo());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.letGo(); });
    stick.addEventListener("pointerdown", (e) => { stick.setPointerCapture(e.pointerId); this.drag(e); });
    stick.addEventListener("pointermove", (e) => { if (this.finger) this.drag(e); });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) stick.addEventListener(name, () => { this.finger = null; this.tick(); });
    setInterval(() => this.tick(), REPEAT_MS);
  }

  key(event, down) {
    if (!(event.code in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (down && event.target.matches?.("input[type=text]")) return; // a name is typed
    event.preventDefault();
    if (down === this.held.has(event.code)) return;
    if (down) this.held.add(event.code); else this.held.delete(event.code);
    this.tick();
  }

  letGo() {
    this.held.clear();
    this.finger = null;
    this.tick();
  }

  drag(event) {
    const box = this.stick.getBoundingClientRect(), reach = box.width / 2 - 20;
    let x = (event.clientX - box.left - box.width / 2) / reach, y = (event.clientY - box.top - box.height / 2) / reach;
    const length = Math.max(1, Math.hypot(x, y));
    this.finger = [-y / length, -x / length];
    this.tick();
  }

  gamepad() {
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad || !SHOULDERS.some((i) => pad.buttons[i]?.pressed)) continue;
      const dead = (v) => (Math.abs(v) < DEAD_ZONE ? 0 : v);
      return [-dead(pad.axes[1] ?? 0), -dead(pad.axes[0] ?? 0)];
    }
    return null;
  }

  wanted() {
    if (this.finger) return this.finger;
    if (this.held.size) return [...this.held].reduce(([l, a], code) => [l + KEYS[code][0], a + KEYS[code][1]], [0, 0]);
    return this.gamepad();
  }

  tick() {
    const wanted = this.wanted();
    const [linear, angular] = wanted ?? [0, 0];
    const part = this.speed.value / 100;
    if (wanted || this.engaged) this.send(linear * part, angular * part); // one zero when it is let go
    this.engaged = wanted !== null;
    document.body.toggleAttribute("data-driving", this.engaged);
    const reach = this.stick.clientWidth / 2 - 20;
    this.knob.style.transform = `translate(${-angular * reach}px, ${-linear * reach}px)`;
  }
}
