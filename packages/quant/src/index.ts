export { flexgen } from './flexgen.ts'
export { int4 } from './int4.ts'
export { int8 } from './int8.ts'
export { kivi } from './kivi.ts'
