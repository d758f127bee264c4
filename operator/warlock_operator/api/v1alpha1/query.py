"""The query protocols that a Game may name: opengsq's, by the names of its classes."""

from __future__ import annotations

from enum import StrEnum


class QueryProtocol(StrEnum):
    """
    What answers with players, given an address and a port alone.

    Left out are opengsq's protocols that need a password, a token or a second port (ElDewrito,
    EOS, Nadeo, Palworld, Satisfactory, TeamSpeak3), wait for a broadcast on the LAN (DirectPlay
    and its games, RenegadeX, SupCom, W40kDow), do not count players (Flatout2, Kaillera), or ask
    a master server instead of the game.
    """

    NONE = "None"
    ASE = "ASE"
    AVP2 = "AVP2"
    BATTLEFIELD = "Battlefield"
    BATTLEFIELD2 = "Battlefield2"
    COD1 = "CoD1"
    COD4 = "CoD4"
    COD5 = "CoD5"
    DOOM3 = "Doom3"
    FIVE_M = "FiveM"
    GAME_SPY1 = "GameSpy1"
    GAME_SPY2 = "GameSpy2"
    GAME_SPY3 = "GameSpy3"
    GAME_SPY4 = "GameSpy4"
    HALO1 = "Halo1"
    JEDI_KNIGHT = "JediKnight"
    KILLING_FLOOR = "KillingFloor"
    MINECRAFT = "Minecraft"
    QUAKE1 = "Quake1"
    QUAKE2 = "Quake2"
    QUAKE3 = "Quake3"
    RAK_NET = "RakNet"
    SSC = "SSC"
    SAMP = "Samp"
    SOURCE = "Source"
    TOXIKK = "Toxikk"
    TRACKMANIA_NATIONS = "TrackmaniaNations"
    TRACKMANIA_SUNRISE = "TrackmaniaSunrise"
    UDK = "UDK"
    UT3 = "UT3"
    UNREAL2 = "Unreal2"
    VCMP = "Vcmp"
    WON = "WON"
    WARCRAFT3 = "Warcraft3"
