// Watching: follows one job of a tab at a time by its events, then the next; takes them up after a reload.
"use strict";
easel.makeWatch = (tab) => {
  let following = null, waiting = [], source = null, lastId = 0, told = "", toldAt = 0;
  const byId = (id) => document.getElementById(id);
  const gallery = easel.galleryOf(tab);
  const own = (name) => byId(`${tab}_${name}`);

  const address = (id, rest = "") => `api/jobs/${encodeURIComponent(id)}${rest}`;
  async function ask(path, options) {
    const answer = await fetch(path, options);
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
    return answer.json();
  }

  // Words for the eye at once, for a screen reader only now and then.
  function say(words, percent = null, aloud = false) {
    const more = waiting.length ? ` · ${waiting.length} more ${waiting.length === 1 ? "job waits" : "jobs wait"}` : "";
    own("progress_words").textContent = words + more;
    if (percent !== null) {
      const bar = own("progress").querySelector(".easel-bar");
      bar.setAttribute("aria-valuenow", Math.round(percent));
      bar.firstElementChild.style.width = `${percent}%`;
      document.title = `${Math.round(percent)} % · Easel`;
    }
    const now = performance.now();
    if (words !== told && (aloud || now - toldAt > 5000)) {
      own("announcement").textContent = told = words;
      toldAt = now;
    }
  }
  function seconds(left) {
    if (left === null) return "";
    const whole = Math.ceil(left);
    if (whole < 60) return `, ${whole} s left`;
    return whole < 3600 ? `, ${Math.round(whole / 60)} min left` : `, ${(whole / 3600).toFixed(1)} h left`;
  }
  function setRunning(running) {
    own("progress").hidden = !running;
    own("interrupt").disabled = own("skip").disabled = !running;
    byId(`tab_${tab}`)?.classList.toggle("easel-running", running);
    if (!running) document.title = "Easel";
  }

  // A model on its way from the disk: which part, how far, how fast.
  function load({ loading: [name, part, done, total, rate] }) {
    const { size } = easel.inMemory;
    say(`loading ${name}: ${part}, ${size(done)} of ${size(total)}${rate ? `, ${size(rate)}/s` : ""}`, total ? (done / total) * 100 : 0);
  }

  const hear = {
    queued: (event) => say(event.position ? `waiting, ${event.position} before this` : "waiting for its turn", 0),
    started: () => say("starting", 0, true),
    notice: (event) => {
      const notices = own("notices");
      if ([...notices.children].some((known) => known.textContent === event.text)) return;
      const line = document.createElement("p");
      line.textContent = event.text;
      notices.append(line);
    },
    progress: (event) => {
      const where = `picture ${event.image + 1} of ${event.images}, step ${event.step} of ${event.steps}`;
      if (event.loading) return load(event);
      const drawing = ["Sampling", "Decoding", "Saving"].includes(event.phase);
      const words = drawing ? where + seconds(event.eta) : `${event.phase} …`;
      say(words, event.progress * 100);
    },
    preview: (event) => gallery.preview(event.data),
    image: (event) => {
      gallery.add({ ...event, url: address(event.job, `/images/${event.index}`) });
    },
    finished: (event) => {
      byId(`html_log_${tab}`).textContent = `Time taken: ${event.seconds.toFixed(1)} s`;
      over(event.state === "done" ? "Done." : "Stopped.");
    },
    failed: (event) => {
      easel.showError(event, tab);
      easel.foreverOf(tab).failed();
      over("The job has failed.");
    },
  };

  function over(words) {
    source?.close();
    source = following = null;
    gallery.previewOver();
    say(words, null, true);
    setRunning(false);
    document.dispatchEvent(new CustomEvent("easel:ended"));
    if (waiting.length) follow(waiting.shift());
  }
  function follow(id) {
    following = id;
    lastId = 0;
    gallery.clear();
    setRunning(true);
    say("waiting for its turn", 0, true);
    listen();
  }
  function listen() {
    const id = following;
    source?.close();
    source = new EventSource(address(id, `/events?after=${lastId}&previews=${easel.wantsPreviews()}`));
    for (const [kind, act] of Object.entries(hear))
      source.addEventListener(kind, (message) => {
        if (id !== following) return;
        if (message.lastEventId) lastId = Number(message.lastEventId);
        act(JSON.parse(message.data));
      });
    source.onerror = (event) => {
      if (id !== following) return;
      say("the connection is lost; trying again");
      // A browser tries again by itself after a cut, but not after a refusal, such as that of a proxy without its server.
      if (event.target.readyState === EventSource.CLOSED) setTimeout(() => id === following && again(id), 1500);
    };
  }
  async function again(id) {
    try {
      await ask(address(id));
    } catch (problem) {
      if (problem.status === 404) {
        easel.showError({ message: "This job is not there any more." }, tab);
        return over("The job is gone.");
      }
      return setTimeout(() => id === following && again(id), 3000);
    }
    listen();
  }

  function add(id) {
    if (id === following || waiting.includes(id)) return;
    if (!following) return follow(id);
    waiting.push(id);
    say("another job is stored", null, true);
  }
  function show(job) {
    gallery.clear();
    for (const image of job.images) gallery.add({ ...image, url: address(job.id, `/images/${image.index}`) });
    byId(`html_log_${tab}`).textContent = `Time taken: ${job.seconds.toFixed(1)} s`;
  }
  // jobs: of this tab, the newest first.
  function takeUp(jobs) {
    const running = jobs.filter((job) => job.state === "running" || job.state === "queued").reverse();
    const last = jobs.find((job) => job.images.length);
    if (following) return;
    if (running.length) for (const job of running) add(job.id);
    else if (last) show(last);
  }
  function stop(how) {
    if (!following) return;
    say(how === "skip" ? "skipping this picture" : "stopping", null, true);
    ask(address(following, `/${how}`), { method: "POST" })
      .catch((problem) => easel.showError({ message: `It could not be stopped (${problem.message}).` }, tab));
  }
  return { add, takeUp, stop, running: () => following !== null };
};
easel.watches = {};
easel.watchOf = (tab) => (easel.watches[tab] ??= easel.makeWatch(tab));
// A job belongs to the tab that would send it.
easel.tabOf = ({ request }) => (request.mask ? "inpaint" : request.init_images?.length ? "img2img" : "txt2img");
easel.takeUp = async (tab) => {
  const { jobs } = await fetch("api/jobs?limit=50").then((answer) => answer.json()).catch(() => ({ jobs: [] }));
  easel.watchOf(tab).takeUp(jobs.filter((job) => easel.tabOf(job) === tab));
};
// Gradio says nothing to the page when the server is gone, so a late answer is asked after.
easel.pending = 0;
easel.sent = (tab) => {
  const PATIENCE = 2000;
  const late = async () => {
    easel.pending = 0;
    const alive = await fetch("api/queue").then((answer) => answer.ok, () => false);
    if (!alive) easel.showError({ message: "The server did not answer.", hint: "Is it still running?" }, tab);
  };
  easel.clearError(tab);
  easel.pending = setTimeout(late, PATIENCE);
};
easel.submitted = (tab, answer) => {
  clearTimeout(easel.pending);
  easel.pending = 0;
  const { id, error } = JSON.parse(answer);
  if (error) {
    easel.foreverOf(tab).failed();
    return easel.showError(error, tab);
  }
  easel.clearError(tab);
  easel.watchOf(tab).add(id);
  // In one column the pictures are far below the button.
  if (innerWidth < 700) document.getElementById(`${tab}_results`).scrollIntoView({ behavior: "smooth" });
};
