// Keeps the page's live elements quiet, pausable and honest about their age.
// htmx and its SSE extension do the fetching; see the hx- attributes.
(function () {
  'use strict'
  var parts = '[hx-trigger*="sse:"]'
  var text = document.getElementById('live-text')
  var button = document.getElementById('live-toggle')
  if (!text || !button || !window.EventSource) return

  var connected = false // the stream has been open
  var paused = false
  var stale = false // the page may be older than what it shows
  var missed = false // a fetch was left out
  var updated = document.querySelector('#live-text time').dateTime
  var shown = new WeakMap() // element -> the HTML it shows

  function clock(when) {
    return new Date(when).toISOString().slice(11, 19) + ' UTC'
  }

  function say() {
    var words = paused ? 'Paused at ' : stale ? 'Stale since ' : connected ? 'Live, updated ' : 'Updated '
    text.textContent = words + clock(updated)
    text.className = paused ? 'paused' : stale ? 'stale' : ''
    button.textContent = paused ? 'Resume live' : 'Pause live'
  }

  function fresh(when) {
    stale = false
    if (when && !paused) updated = when
    say()
  }

  function wither() {
    stale = true
    say()
  }

  function refresh() {
    missed = false
    document.querySelectorAll(parts).forEach(function (el) {
      window.htmx.trigger(el, 'refresh')
    })
  }

  // A paused page asks for nothing. A hidden one asks for the verdict alone,
  // which carries the title and the icon.
  document.addEventListener('htmx:beforeRequest', function (e) {
    if (paused || (document.hidden && e.target.id !== 'verdict')) {
      missed = true
      e.preventDefault()
    }
  })

  // What has not changed is not swapped, so that a screen reader is not told
  // twice and a selection survives. What is unfolded stays unfolded.
  document.addEventListener('htmx:beforeSwap', function (e) {
    var el = e.detail.target
    var answer = e.detail.xhr.responseText
    if (shown.get(el) === answer) {
      e.detail.shouldSwap = false
      return
    }
    if (!e.detail.shouldSwap) return
    shown.set(el, answer)
    var open = Array.from(el.querySelectorAll('details[open]'), function (d) { return d.id })
    var scrolled = Array.from(el.querySelectorAll('.scroll'), function (s) { return s.scrollLeft })
    el.addEventListener('htmx:afterSwap', function () {
      open.forEach(function (id) {
        var d = document.getElementById(id)
        if (d) d.open = true
      })
      el.querySelectorAll('.scroll').forEach(function (s, i) { s.scrollLeft = scrolled[i] || 0 })
    }, { once: true })
  })

  document.addEventListener('htmx:afterRequest', function (e) {
    if (e.detail.successful) fresh(e.detail.xhr.getResponseHeader('Date'))
    else if (e.detail.failed) wither()
  })
  document.addEventListener('htmx:sendError', wither)
  document.addEventListener('htmx:timeout', wither)
  document.addEventListener('htmx:sseError', wither)
  document.addEventListener('htmx:sseOpen', function (e) {
    // The stream begins with the names of all parts, so that they renew themselves.
    connected = true
    e.detail.source.addEventListener('heartbeat', function (beat) { fresh(beat.data) })
    say()
  })

  document.addEventListener('visibilitychange', function () {
    if (!document.hidden && missed && !paused) refresh()
  })

  button.addEventListener('click', function () {
    paused = !paused
    say()
    if (!paused) refresh()
  })

  // An address with an incident's anchor unfolds that incident.
  function unfold() {
    var el = location.hash && document.getElementById(location.hash.slice(1))
    if (el && el.tagName === 'DETAILS') el.open = true
  }
  window.addEventListener('hashchange', unfold)
  unfold()

  button.hidden = false
  say()
})()
