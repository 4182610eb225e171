import { library } from '../../tooling/tsdown.ts'

export default library(['src/index.ts', 'src/node/index.ts'], { deps: { neverBundle: [/^node:/] } })
