import { render } from 'preact'

render(<h1>KVFold</h1>, document.getElementById('page')!)
