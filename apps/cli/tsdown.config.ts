import { library } from '../../tooling/tsdown.ts'

export default library(['src/main.ts'], { platform: 'node', dts: false })
