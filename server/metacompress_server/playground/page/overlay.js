// Light on the picture: dark where nothing looks, glowing, then clear where it looks most.

import { largest } from "./look.js";

// By share of the largest weight: red, green, blue, and how much of the picture is covered.
const OVER_PICTURE = [
  [0.0, 10, 12, 20, 0.64],
  [0.1, 74, 30, 28, 0.58],
  [0.35, 236, 84, 18, 0.5],
  [0.7, 255, 158, 48, 0.26],
  [1.0, 255, 226, 170, 0.04],
];
const ALONE = [
  [0.0, 11, 13, 18, 1],
  [0.12, 62, 24, 26, 1],
  [0.4, 206, 70, 18, 1],
  [0.75, 255, 150, 44, 1],
  [1.0, 255, 236, 190, 1],
];

// Draws values [n] of a grid over a picture, whose part `visible` they lie on.
export function drawOver(canvas, values, grid, visible) {
  const { width, height } = fitted(canvas);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (!values) return;
  context.fillStyle = "rgb(10 12 20 / 85%)";
  context.fillRect(0, 0, width, height);
  const box = [visible.left * width, visible.top * height, visible.width * width, visible.height * height];
  context.clearRect(...box);
  context.imageSmoothingEnabled = false;
  context.drawImage(cells(values, grid, OVER_PICTURE), ...box);
}

// One small canvas, a pixel for each visual token.
export function thumbnail(values, grid) {
  return cells(values, grid, ALONE);
}

// The visual token under a point of the canvas; undefined outside of what the model sees.
export function tokenAt(canvas, event, grid, visible) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width - visible.left) / visible.width;
  const y = ((event.clientY - box.top) / box.height - visible.top) / visible.height;
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return undefined;
  return Math.floor(y * grid.rows) * grid.cols + Math.floor(x * grid.cols);
}

function fitted(canvas) {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  return canvas;
}

function cells(values, grid, ramp) {
  const canvas = document.createElement("canvas");
  canvas.width = grid.cols;
  canvas.height = grid.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(grid.cols, grid.rows);
  const most = largest(values) || 1;
  values.forEach((value, index) => image.data.set(colour(value / most, ramp), 4 * index));
  context.putImageData(image, 0, 0);
  return canvas;
}

function colour(share, ramp) {
  const above = Math.max(1, ramp.findIndex(([stop]) => stop >= share));
  const [low, high] = [ramp[above - 1], ramp[above]];
  const way = (share - low[0]) / (high[0] - low[0]);
  const [red, green, blue, alpha] = low.slice(1).map((from, i) => from + way * (high[i + 1] - from));
  return [red, green, blue, 255 * alpha];
}
