/** Of a picture in its shadow root: it takes fonts and colour scheme from the page around it. */
export const style = `
:host { display: block; color: light-dark(#1c2026, #e6e9ee); font-size: 0.9rem; line-height: 1.45; }
* { box-sizing: border-box; }
p, ul { margin: 0; padding: 0; }
.faint { color: light-dark(#636b76, #98a1ad); }
button {
  font: inherit; color: inherit; min-width: 2rem; height: 2rem; border: 1px solid light-dark(#c9ced6, #434a54); border-radius: 6px;
  background: light-dark(#fff, #1b1e23); cursor: pointer;
}
button:hover { background: light-dark(#f1f3f6, #262a31); }
:focus-visible { outline: 2px solid light-dark(#1d6fd6, #6aaeff); outline-offset: 2px; }
.scrubber { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem 0.8rem; }
.track { position: relative; flex: 1 1 16rem; height: 3rem; }
.track svg { position: absolute; inset: 0 8px 1rem; width: calc(100% - 16px); height: 2rem; }
.track input { position: absolute; inset: auto 0 0; width: 100%; margin: 0; height: 1.2rem; accent-color: light-dark(#237ab8, #4aaaf0); }
.moment { flex: 1 1 20rem; font-variant-numeric: tabular-nums; min-height: 1.45em; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 0.6rem 0; min-height: 1.45em; font-variant-numeric: tabular-nums; }
.legend i { display: inline-block; width: 0.85em; height: 0.85em; border-radius: 3px; margin-right: 0.4em; vertical-align: -0.08em; border: 1px solid light-dark(#0002, #fff2); }
.map { position: relative; }
.plane { padding-left: 1.6rem; position: relative; }
.names { position: absolute; left: 0; top: 0; width: 1.3rem; font-size: 0.65rem; line-height: 1; text-align: right; }
.names span { position: absolute; right: 0; }
canvas { display: block; width: 100%; border-radius: 3px; touch-action: pan-y; cursor: crosshair; }
.buttons { display: flex; gap: 0.3rem; justify-content: flex-end; margin-bottom: 0.4rem; }
.axis { display: flex; justify-content: space-between; padding-left: 1.6rem; font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.says { min-height: 2.9em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.lower { display: grid; grid-template-columns: minmax(0, 1fr) 17rem; gap: 1rem; margin-top: 0.4rem; }
.text {
  position: relative; height: 22rem; overflow: auto; padding: 0.8rem 1rem; border: 1px solid light-dark(#dfe3e8, #343a43); border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.75; font-size: 0.88rem;
}
.text span { cursor: pointer; border-radius: 2px; box-decoration-break: clone; -webkit-box-decoration-break: clone; padding: 0.12em 0; }
.text .unread { opacity: 0.35; }
.text .pointed { outline: 1.5px solid light-dark(#1c2026, #e6e9ee); }
.text .chosen { outline: 2px solid light-dark(#1d6fd6, #6aaeff); }
.card { height: 22rem; overflow: auto; border: 1px solid light-dark(#dfe3e8, #343a43); border-radius: 8px; padding: 0.7rem 0.9rem; }
.card p button { float: right; }
.card table { border-spacing: 2px; margin-top: 0.6rem; font-size: 0.72rem; width: 100%; table-layout: fixed; }
.card caption { text-align: left; color: light-dark(#636b76, #98a1ad); }
.card th { font-weight: 400; color: light-dark(#636b76, #98a1ad); width: 1.6rem; }
.card td { height: 1.05rem; border-radius: 3px; }
@media (max-width: 42rem) { .lower { grid-template-columns: minmax(0, 1fr); } .card { height: auto; max-height: 22rem; } }
`
