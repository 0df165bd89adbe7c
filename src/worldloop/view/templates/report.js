"use strict";
// Without this script every decision of every model is on the page, one below the other.
document.documentElement.classList.add("js");
for (const replay of document.querySelectorAll(".replay")) {
  const tabs = [...replay.querySelectorAll("[role=tab]")];
  const plays = [...replay.querySelectorAll(".play")];
  const slider = replay.querySelector(".stepper input");
  const output = replay.querySelector(".stepper output");
  const [previous, next] = [replay.querySelector(".previous"), replay.querySelector(".next")];
  let model = tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
  let step = 0; // shared by the models, so that a change of tab compares the same moment

  const show = () => {
    const last = plays[model].dataset.turns - 1;
    const here = Math.min(step, last);
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === model));
      tab.tabIndex = i === model ? 0 : -1;
    });
    plays.forEach((play, i) => { play.hidden = i !== model; });
    plays[model].querySelectorAll(".turn").forEach((turn, i) => { turn.hidden = i !== here; });
    plays[model].querySelectorAll(".place").forEach((dot, i) => { dot.classList.toggle("current", i === here); });
    slider.max = last + 1;
    slider.value = here + 1;
    const text = `decision ${here + 1} of ${last + 1}`;
    slider.setAttribute("aria-valuetext", text);
    output.textContent = text + (step > last ? " (the episode is over)" : "");
    previous.disabled = here === 0;
    next.disabled = here === last;
  };
  const go = (to) => {
    step = Math.max(0, Math.min(to, plays[model].dataset.turns - 1));
    show();
  };
  const now = () => Math.min(step, plays[model].dataset.turns - 1);
  const move = (by) => go(now() + by);

  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => { model = i; show(); });
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      model = (to + tabs.length) % tabs.length;
      show();
      tabs[model].focus();
      event.preventDefault();
      event.stopPropagation();
    });
  });
  slider.addEventListener("input", () => go(slider.value - 1));
  previous.addEventListener("click", () => move(-1));
  next.addEventListener("click", () => move(1));
  replay.addEventListener("keydown", (event) => {
    if (event.target === slider || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else return;
    event.preventDefault();
  });
  replay.querySelector(".tabs").hidden = false;
  replay.querySelector(".stepper").hidden = false;
  show();
}
