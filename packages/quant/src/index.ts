export { kivi } from './kivi.ts'
