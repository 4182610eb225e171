export { activeBlockRatio, blockList, type BlockGrid, type Chosen } from './block-list.ts'
export { flexprefill, flexPrefillBlocks, type HeadPattern } from './flexprefill.ts'
