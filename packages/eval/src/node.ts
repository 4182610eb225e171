export { heldOutDocuments } from './held-out.ts'
