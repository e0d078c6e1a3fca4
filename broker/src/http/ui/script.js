// What a page does beyond its links and forms: it hears the broker's events, puts numbers and parts
// of the page in place, and sends forms so that a refusal does not lose what was written.
'use strict';
(() => {
  const $ = (id) => document.getElementById(id);
  const state = $('live');
  const pause = $('pause');
  // While a form is on its way the page is not asked for: what it shows may be gone by then.
  let sending = false;
  let asked = null;

  // Forms: sent here, so that the answer can be said beside them.
  document.addEventListener('submit', async (event) => {
    const form = event.target;
    const button = event.submitter;
    const plain = button && 'plain' in button.dataset;
    if (form.method !== 'post' || plain || form.action.endsWith('/do/get') || form.action.endsWith('/logout')) return;
    event.preventDefault();
    if (form.dataset.ask && !window.confirm(form.dataset.ask)) return;
    $('alert').textContent = '';
    if (button) button.disabled = true;
    sending = true;
    if (asked) asked.abort();
    try {
      const answer = await fetch(form.action, {
        method: 'POST',
        headers: { accept: 'application/json' },
        body: new URLSearchParams(new FormData(form)),
      });
      if (answer.headers.get('content-type') !== 'application/json') {
        location.reload(); // The session has ended.
        return;
      }
      const said = await answer.json();
      if (answer.ok) {
        if (said.to === location.pathname + location.search) location.reload();
        else location.assign(said.to);
        return;
      }
      $('alert').textContent = typeof said.reason === 'string' ? said.reason : JSON.stringify(said.reason);
      $('alert').scrollIntoView({ block: 'nearest' });
    } catch (error) {
      $('alert').textContent = 'The broker did not answer: ' + error.message;
    }
    if (button) button.disabled = false;
    sending = false;
  });

  // A file goes into the text field that it names.
  document.addEventListener('change', async (event) => {
    const into = event.target.dataset.into;
    if (into && event.target.files.length) $(into).value = await event.target.files[0].text();
  });

  if (!state) return;
  state.closest('p').hidden = false;

  // Parts: the page is asked for again, and what has changed in it is put in place.
  let paused = false;
  let asking = false;
  let due = false;
  const refresh = async () => {
    if (asking || sending || paused || document.hidden || !document.querySelector('[data-part]')) return;
    asking = true;
    due = false;
    asked = new AbortController();
    try {
      const headers = { accept: 'text/html', 'x-follow': '1' };
      const answer = await fetch(location.href, { headers, signal: asked.signal });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        for (const part of document.querySelectorAll('[data-part]')) {
          const fresh = page.getElementById(part.id);
          const used = part.contains(document.activeElement);
          if (fresh && !used && fresh.innerHTML !== part.innerHTML) {
            const open = [...part.querySelectorAll('details')].map((fold) => fold.open);
            part.replaceChildren(...fresh.childNodes);
            part.querySelectorAll('details').forEach((fold, index) => { fold.open = !!open[index]; });
          }
        }
      }
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
    } finally {
      asking = false;
    }
  };

  const rate = (value) => {
    const whole = value >= 100 || value === 0;
    return (whole ? Math.round(value).toLocaleString('en') : value.toFixed(1)) + '/s';
  };
  const numbers = (tick) => {
    for (const place of document.querySelectorAll('[data-number]')) {
      const path = place.dataset.number.split('.');
      const value = path.reduce((found, name) => found && found[name], tick);
      if (typeof value === 'number') {
        place.textContent = path[0] === 'rates' ? rate(value) : value.toLocaleString('en');
      }
    }
  };

  const log = $('event-log');
  const write = (text) => {
    if (!log) return;
    const line = document.createElement('li');
    line.textContent = new Date().toISOString().slice(11, 19) + ' ' + text;
    log.prepend(line);
    while (log.children.length > 100) log.lastChild.remove();
  };

  const source = new EventSource(document.body.dataset.live);
  let ticks = 0;
  source.addEventListener('open', () => { state.textContent = 'live'; });
  source.addEventListener('error', () => { state.textContent = 'interrupted'; });
  source.addEventListener('missed', (event) => {
    write(JSON.parse(event.data).count + ' events were missed');
    due = true;
  });
  source.addEventListener('tick', (event) => {
    if (paused) return;
    numbers(JSON.parse(event.data));
    ticks += 1;
    if (due || ticks % 5 === 0) refresh();
  });
  const kinds = ['connection.created', 'connection.closed', 'channel.created', 'channel.closed',
    'exchange.created', 'exchange.deleted', 'queue.created', 'queue.deleted', 'binding.created',
    'binding.deleted', 'policy.set', 'policy.cleared', 'plugin.changed', 'alarm.set', 'alarm.cleared'];
  for (const kind of kinds) {
    source.addEventListener(kind, (event) => {
      if (paused) return;
      const what = JSON.parse(event.data);
      const more = ['destination', 'routing_key', 'state', 'vhost', 'user'].filter((name) => what[name]);
      write(kind + ' ' + what.name + more.map((name) => `, ${name} ${what[name]}`).join(''));
      due = true;
    });
  }
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    state.textContent = paused ? 'paused' : 'live';
    if (!paused) refresh();
  });
  window.addEventListener('pagehide', () => source.close());
})();
