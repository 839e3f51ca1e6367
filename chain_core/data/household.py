"""Who and what lives in the house that the smart-home samples speak of: values for the templates' open slots."""

from __future__ import annotations

from collections.abc import Mapping

Names = Mapping[str, tuple[str, ...]]

ENGLISH_DEVICES: Names = {
    "light": ("bedside lamp", "ceiling light", "desk lamp", "floor lamp", "porch light", "reading light",
              "christmas lights", "mirror light", "night light", "led strip"),
    "switch": ("coffee maker", "kettle", "air purifier", "electric blanket", "aquarium pump", "wall socket",
               "bread maker", "dehumidifier"),
    "fan": ("ceiling fan", "tower fan", "extractor fan", "desk fan", "bathroom fan"),
    "media_player": ("tv", "living room speaker", "radio", "sound bar", "projector", "kitchen speaker",
                     "record player"),
    "input_boolean": ("holiday mode", "guest mode", "quiet hours"),
    "climate": ("thermostat", "air conditioner", "heat pump", "radiator", "underfloor heating"),
    "cover": ("left curtain", "roller blind", "garage door", "front gate", "patio awning", "skylight shade"),
    "valve": ("garden valve", "sprinkler valve", "main water valve", "radiator valve"),
    "lock": ("front door lock", "back door lock", "garage lock", "side gate lock", "cellar lock"),
    "scene": ("movie night", "romantic dinner", "good morning", "party time", "bedtime"),
    "script": ("goodnight routine", "leaving home", "wake up routine", "fire drill"),
    "button": ("doorbell button", "restart router", "feed the cat"),
    "input_button": ("panic button", "call the nurse"),
    "sensor": ("outdoor temperature", "air quality sensor", "humidity sensor", "rain gauge", "power meter"),
    "binary_sensor": ("kitchen window", "hall motion sensor", "balcony door", "driveway sensor", "smoke detector"),
    "person": ("anna", "grandpa", "marcus", "sofia", "uncle ben"),
    "weather": ("london", "new york", "the mountain cabin", "paris"),
    "lawn_mower": ("robot mower", "front lawn mower", "meadow mower"),
    "vacuum": ("robot vacuum", "roomba", "dust buster", "upstairs vacuum"),
    "todo": ("packing list", "chores", "birthday list", "to do list", "work list"),
}  # fmt: skip
ENGLISH: Names = {
    "area": ("kitchen", "living room", "bedroom", "bathroom", "garage", "office", "hallway", "dining room", "attic",
             "basement", "garden", "nursery", "laundry room", "guest room", "balcony"),
    "floor": ("first floor", "second floor", "ground floor", "upstairs", "downstairs", "top floor"),
    "message": ("dinner is ready", "the taxi is here", "time for bed", "we leave in five minutes",
                "the game has started", "please come downstairs", "someone left the fridge open"),
    "search_query": ("moonlight sonata", "the four seasons", "morning jazz", "whale sounds", "relaxing piano",
                     "the news", "blue danube", "bedtime stories", "old rock songs", "swan lake"),
    "zone": ("work", "school", "the gym", "home", "the office", "grandma's house"),
    "timer_name": ("pizza", "pasta", "tea", "laundry", "egg", "workout", "nap", "bread"),
    "timer_command": ("turn off the oven", "close the blinds", "open the garage door", "switch on the heating",
                      "play some music", "lock the front door"),
    "shopping_list_item": ("milk", "two lemons", "olive oil", "oat flakes", "toilet paper", "apples", "dark chocolate",
                           "cat food", "brown bread"),
    "todo_list_item": ("call the plumber", "water the plants", "book a flight", "clean the windows", "pay the rent",
                       "buy a birthday card", "wash the car"),
}  # fmt: skip
CHINESE_DEVICES: Names = {
    "light": ("床头灯", "吊灯", "落地灯", "书桌灯", "小夜灯", "镜前灯", "走廊灯带", "阅读灯"),
    "switch": ("咖啡机", "电热水壶", "空气净化器", "电热毯", "鱼缸水泵", "除湿机", "加湿器"),
    "fan": ("吊扇", "塔扇", "循环扇", "排气扇", "落地扇"),
    "media_player": ("电视", "客厅音箱", "收音机", "投影仪", "回音壁", "小爱音箱"),
    "input_boolean": ("度假模式", "会客模式", "静音时段"),
    "climate": ("空调", "地暖", "暖气片", "恒温器", "中央空调"),
    "cover": ("左侧窗帘", "卷帘", "车库门", "纱帘", "遮阳棚", "天窗帘"),
    "valve": ("花园水阀", "总水阀", "燃气阀", "喷灌阀"),
    "lock": ("前门锁", "后门锁", "指纹锁", "车库锁", "储藏室锁"),
    "scene": ("观影模式", "晚餐时光", "早安", "聚会模式", "睡前模式"),
    "script": ("晚安流程", "离家流程", "起床流程", "回家流程"),
    "button": ("门铃按钮", "重启路由器", "喂猫"),
    "input_button": ("紧急按钮", "呼叫护士"),
    "sensor": ("室外温度计", "空气质量传感器", "湿度传感器", "雨量计", "电表"),
    "binary_sensor": ("厨房窗户", "玄关人体传感器", "阳台门", "烟雾报警器"),
    "person": ("爷爷", "小明", "妈妈", "王阿姨", "李雷"),
    "weather": ("北京", "上海", "成都", "哈尔滨"),
    "lawn_mower": ("割草机器人", "前院割草机", "草坪机"),
    "vacuum": ("扫地机器人", "吸尘器", "扫拖一体机", "楼上扫地机"),
    "todo": ("行李清单", "家务清单", "生日清单", "待办清单", "工作清单"),
}  # fmt: skip
CHINESE: Names = {
    "area": ("厨房", "客厅", "主卧", "卫生间", "车库", "书房", "走廊", "餐厅", "阁楼", "地下室", "花园", "儿童房",
             "洗衣房", "客房", "阳台"),
    "floor": ("一", "二", "三", "顶", "四"),
    "message": ("吃饭了", "车已经到了", "该睡觉了", "五分钟后出发", "比赛开始了", "快下楼来", "冰箱门没关"),
    "search_query": ("月光奏鸣曲", "二泉映月", "轻音乐", "高山流水", "早间新闻", "睡前故事", "经典老歌"),
    "zone": ("公司", "学校", "健身房", "家", "超市", "外婆家"),
    "timer_name": ("披萨", "煮面", "泡茶", "洗衣", "鸡蛋", "锻炼", "午睡", "面包"),
    "timer_command": ("关掉烤箱", "拉上窗帘", "打开车库门", "打开暖气", "播放音乐", "锁上前门"),
    "shopping_list_item": ("牛奶", "两个柠檬", "橄榄油", "燕麦片", "卫生纸", "苹果", "黑巧克力", "猫粮", "全麦面包"),
    "todo_list_item": ("给水管工打电话", "浇花", "订机票", "擦窗户", "交房租", "买生日卡", "洗车"),
}  # fmt: skip

DOMAINS = {
    "Timer": "timer", "Media": "media_player", "Volume": "media_player", "Climate": "climate", "Fan": "fan",
    "Light": "light", "List": "todo", "Weather": "weather", "Vacuum": "vacuum", "LawnMower": "lawn_mower",
    "Current": "clock",
}  # fmt: skip
"""Part of an intent's name -> the domain of a sentence that names no device; the first that fits."""
NO_DOMAIN = "assistant"
