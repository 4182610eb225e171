export { flexgen } from './flexgen.ts'
export { kivi } from './kivi.ts'
