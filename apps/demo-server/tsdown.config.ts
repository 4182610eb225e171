import { library } from '../../tooling/tsdown.ts'

export default library(['src/index.ts'], { platform: 'node' })
