// SPDX-License-Identifier: MIT
// Starts and stops the clock, which comes as server-sent events.
const section = document.getElementById("clock");
const output = section.querySelector("output");
const button = section.querySelector("button");
let source = null;

button.addEventListener("click", () => {
  if (source) {
    source.close();
    source = null;
  } else {
    source = new EventSource(section.dataset.source);
    source.onmessage = (event) => { output.textContent = event.data; };
  }
  button.textContent = source ? "Stop" : "Start";
});
