// Connects the page with the robot: frames in, commands out.

import { Drive } from "/drive.js";
import { MapView } from "/map.js";
import { ZoneTool } from "/zones.js";

const KINDS = ["state", "map", "scan", "picture", "notice", "lines", "health", "boxes", "objects", "zones"];
const RECONNECT_MS = 700;
const HINTS = { look: "", zone: "", goal: "press where the robot shall go, drag for its heading", pose: "press where the robot is, drag for its heading" };
const WORST = ["ok", "warn", "stale", "error"];

const $ = (id) => document.getElementById(id);
const body = document.body;
let socket = null;
let stopWanted = false; // pressed while there was no connection

const map = new MapView($("map"), (tool, place) => { send({ type: tool, ...place }); chooseTool("look"); });
new Drive($("stick"), $("knob"), $("speed"), (linear, angular) => send({ type: "drive", linear, angular }));

let noPlanner = "nothing is known of the planner yet";
const zones = new ZoneTool(map, {
  form: $("zone"), says: $("zone-says"), name: $("zone-name"), undo: $("zone-undo"), close: $("zone-close"),
  save: $("zone-save"), remove: $("zone-delete"), leave: $("zone-leave"),
}, send, () => chooseTool("look"));

function tellUndrawable() {
  zones.setUndrawable(body.dataset.connection !== "open" ? "there is no connection" : !map.map ? "there is no map yet" : noPlanner);
}

function send(command) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/socket${location.search}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { setConnection("open", "connected"); if (stopWanted) { send({ type: "stop" }); stopWanted = false; } };
  socket.onmessage = (event) => receive(event.data);
  socket.onclose = () => { setConnection("closed", "no connection"); setTimeout(connect, RECONNECT_MS); };
}

function setConnection(state, text) {
  body.dataset.connection = state;
  $("connection").textContent = text;
  tellUndrawable();
}

const metres = (value) => `${(Math.round(value * 100) / 100 || 0).toFixed(2)} m`; // never −0.00

function receive(data) {
  const view = new DataView(data), length = view.getUint32(1, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 5, length)));
  show[KINDS[view.getUint8(0)]](header, data.slice(5 + length));
}

let boxes = [];
let bitmap = null;
let noticeTimer = 0;

const show = {
  state(state) {
    map.setPose(state.pose);
    $("pose").textContent = state.pose ? `x ${metres(state.pose[0])}  y ${metres(state.pose[1])}  ${Math.round(state.pose[2] * 180 / Math.PI) || 0}°` : "not located";
    $("battery").textContent = state.battery.voltage ? `${state.battery.voltage.toFixed(1)} V` : "";
    body.toggleAttribute("data-stopped", state.stopped);
    $("release").hidden = !state.stopped;
  },
  map(header, png) {
    map.setMap(header, png).then(() => { body.dataset.map = `${header.width}x${header.height}`; tellUndrawable(); });
  },
  scan(header, payload) {
    const points = new Int16Array(payload);
    map.setScan(header, points);
    body.dataset.scan = points.length / 2;
  },
  async picture(header, jpeg) {
    bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    $("camera").hidden = false;
    drawPicture();
    body.dataset.picture = `${bitmap.width}x${bitmap.height}`;
  },
  boxes(header) { boxes = header.boxes; body.dataset.boxes = boxes.length; if (bitmap) drawPicture(); },
  objects(header) { map.setObjects(header.objects); body.dataset.objects = header.objects.length; },
  lines(lines) { map.setLines(lines); },
  zones(header) {
    noPlanner = header.undrawable;
    tellUndrawable();
    zones.setZones(header);
    body.dataset.zones = header.zones.length;
  },
  notice(header) {
    zones.answered();
    $("notice").textContent = header.text;
    $("notice").hidden = false;
    clearTimeout(noticeTimer);
    noticeTimer = setTimeout(() => { $("notice").hidden = true; }, Math.max(2500, 70 * header.text.length));
  },
  health(nodes) {
    const names = Object.keys(nodes);
    const items = names.map((name) => {
      const item = document.createElement("li"), says = document.createElement("span");
      item.dataset.level = nodes[name].level;
      item.title = Object.entries(nodes[name].values).map(([k, v]) => `${k}: ${v}`).join("\n");
      item.append(name, says);
      says.textContent = nodes[name].message;
      return item;
    });
    $("health").querySelector("ul").replaceChildren(...items);
    $("cancel").disabled = (nodes.planner?.values.task ?? "idle") === "idle";
    const safety = nodes.safety;
    $("held").hidden = !safety || safety.level === "ok";
    $("held").textContent = safety ? `safety: ${safety.message}` : "";
    const worst = names.reduce((w, n) => Math.max(w, WORST.indexOf(nodes[n].level)), 0);
    const bad = names.filter((n) => !["ok", "warn"].includes(nodes[n].level)).length;
    const warned = names.filter((n) => nodes[n].level === "warn").length;
    $("health-button").dataset.level = WORST[worst];
    $("health-button").textContent = bad ? `${bad} of ${names.length} nodes unwell`
      : warned ? `${warned} of ${names.length} nodes warn` : `${names.length} nodes well`;
  },
};

function drawPicture() {
  const canvas = $("picture"), c = canvas.getContext("2d");
  if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
  if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
  c.drawImage(bitmap, 0, 0);
  const unit = bitmap.width / 320;
  c.lineWidth = 2 * unit;
  c.font = `600 ${12 * unit}px system-ui, sans-serif`;
  c.textBaseline = "bottom";
  c.strokeStyle = "#ffb547";
  for (const [left, top, right, bottom] of boxes) c.strokeRect(left, top, right - left, bottom - top);
  canvas.labels = []; // so that the console (and a test) can ask where they are
  for (const [left, top, , , label, score] of boxes) {
    const text = `${label} ${Math.round(score * 100)} %`;
    const place = freePlace(left, top, c.measureText(text).width + 8 * unit, 16 * unit, canvas);
    canvas.labels.push(place);
    c.fillStyle = "#ffb547";
    c.fillRect(place.left, place.top, place.width, place.height);
    c.fillStyle = "#241500";
    c.fillText(text, place.left + 4 * unit, place.top + place.height - 1 * unit);
  }
}

// Where a label of this size goes: above its box where there is room, within the picture, below labels that are there.
function freePlace(left, top, width, height, canvas) {
  const place = { left: Math.max(0, Math.min(left, canvas.width - width)), top: Math.max(0, top - height), width, height };
  const taken = () => canvas.labels.some((other) => place.left < other.left + other.width
    && other.left < place.left + width && place.top < other.top + height && other.top < place.top + height);
  while (taken()) place.top += height;
  return place;
}

function chooseTool(tool) {
  map.tool = body.dataset.tool = tool;
  $("hint").textContent = HINTS[tool];
  zones.show(tool === "zone");
  if (tool === "zone") map.setFollow(false); // the floor must not move under the finger
  for (const button of document.querySelectorAll("nav [data-tool]")) button.ariaPressed = String(button.dataset.tool === tool);
}

for (const button of document.querySelectorAll("nav [data-tool]")) button.onclick = () => chooseTool(button.dataset.tool);
map.onScale = (length, px) => {
  $("scale").textContent = `${length} m`;
  $("scale").style.setProperty("--length", `${px}px`);
};
map.onFollow = (on) => { $("follow").ariaPressed = String(on); };
$("follow").onclick = () => map.setFollow(!map.follow);
$("cancel").onclick = () => send({ type: "cancel" });
$("fit").onclick = () => { map.setFollow(false); map.fit(); };
function stop() {
  if (socket?.readyState !== WebSocket.OPEN) stopWanted = true;
  send({ type: "stop" });
}
$("stop").onpointerdown = stop; // at once, not when the finger leaves again
$("stop").onclick = stop; // for keyboards and screen readers
$("release").onclick = () => { stopWanted = false; send({ type: "release" }); };
window.addEventListener("keydown", (event) => {
  const typed = event.code === "Space" && event.target.matches?.("input[type=text]");
  if ((event.code === "Space" && !typed) || event.code === "Escape") { event.preventDefault(); stop(); }
});
$("health-button").onclick = () => {
  const hidden = !$("health").hidden;
  $("health").hidden = hidden;
  $("health-button").ariaExpanded = String(!hidden);
};
if (matchMedia("(max-width: 800px), (max-height: 520px)").matches) $("health-button").click();
chooseTool("look");
connect();
