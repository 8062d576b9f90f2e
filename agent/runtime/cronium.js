"use strict";
/* What a Node.js script can say to Cronium: require("cronium") or import cronium from "cronium".

   cronium.input()              everything that was handed to this run
   cronium.input("name", 5)     one value of it, or 5
   cronium.output("rows", 42)   one named result; output({...}) sets several
   cronium.setCondition("ok")   a condition that later steps can ask for
   cronium.event()              what runs here: event, run, attempt

   Values are anything JSON can say. Outside Cronium the inputs are empty and results go nowhere. */
const fs = require("fs");
const path = require("path");

const folder = process.env.CRONIUM_DIR || "/run/cronium";

function load(name) {
  try {
    return JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
}

function report(name, record) {
  const line = JSON.stringify(record) + "\n";
  if (fs.existsSync(folder)) fs.appendFileSync(path.join(folder, name), line);
}

function input(name, fallback) {
  const values = load("inputs.json");
  if (name === undefined) return values;
  const known = values !== null && typeof values === "object" && Object.hasOwn(values, name);
  return known ? values[name] : fallback;
}

function output(name, value) {
  if (arguments.length < 2) report("outputs", { value: name === undefined ? null : name });
  else report("outputs", { value: { [String(name)]: value === undefined ? null : value } });
}

function setCondition(name, value = true) {
  if (typeof name === "boolean") [name, value] = ["condition", name];
  if (typeof value !== "boolean") {
    throw new TypeError("setCondition takes true or false, not " + String(value).slice(0, 100));
  }
  report("conditions", { name: String(name), value });
}

function event() {
  return load("event.json");
}

exports.input = input;
exports.output = output;
exports.setCondition = setCondition;
exports.set_condition = setCondition;
exports.event = event;
